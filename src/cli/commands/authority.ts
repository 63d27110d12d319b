import type { Command } from 'commander';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';

/** `sidekey authority init | status | check | backup | restore`. */
export function addAuthorityCommand(program: Command, finish: (code: number) => void): void {
  const authority = program.command('authority').description('the certificate authority itself');
  withPrintingOptions(
    authority.command('status').description('everything at a glance; 1 if nothing is issued now'),
  ).action(async (options: PrintingArguments, command: Command) => {
    const { showStatus } = await import('../authority/status.ts');
    await administer(options, command, async (client) => {
      finish((await showStatus(client, options.output)) ? 0 : 1);
    });
  });
  withPrintingOptions(
    authority
      .command('backup')
      .description('copy the store of a running authority to a file on its host (no keys)'),
  )
    .requiredOption('--out <file>', 'a file that is not there yet')
    .action(async (options: PrintingArguments & { out: string }, command: Command) => {
      const { backUp } = await import('../authority/backup.ts');
      await administer(options, command, (client) => backUp(client, options.out, options.output));
    });
}
