import { type Command, InvalidArgumentError, Option } from 'commander';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';
import { limitOption } from './token.ts';

interface ListArguments extends PrintingArguments {
  readonly after: number;
  readonly subject: string;
  readonly action: string;
  readonly limit: number;
}

/** `sidekey audit list | verify`. */
export function addAuditCommand(program: Command, finish: (code: number) => void): void {
  const audit = program.command('audit').description('the log of everything that was changed');
  withPrintingOptions(audit.command('list').description('entries, oldest first'))
    .addOption(
      new Option('--after <seq>', 'only behind this one').argParser(parseSequence).default(0),
    )
    .option('--subject <id>', 'only about this', '')
    .option('--action <name>', 'only of this kind, such as agent.revoke', '')
    .addOption(limitOption())
    .action(async (options: ListArguments, command: Command) => {
      const { listAudit } = await import('../authority/audit.ts');
      await administer(options, command, (client) =>
        listAudit(client, options, options.limit, options.output),
      );
    });
  withPrintingOptions(
    audit.command('verify').description('compute the chain of hashes again; 1 if it is broken'),
  ).action(async (options: PrintingArguments, command: Command) => {
    const { verifyAudit } = await import('../authority/audit.ts');
    await administer(options, command, async (client) => {
      finish((await verifyAudit(client, options.output)) ? 0 : 1);
    });
  });
}

function parseSequence(text: string): number {
  const value = /^\d{1,15}$/u.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('expected a sequence number');
}
