import { type Command, Option } from 'commander';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';
import { limitOption } from './token.ts';

/** `sidekey tls-policy show | set | report`. */
export function addTlsPolicyCommand(program: Command): void {
  const policy = program
    .command('tls-policy')
    .description('the oldest TLS version that listeners of the fleet speak');
  withPrintingOptions(policy.command('show').description('the floors in force')).action(
    async (options: PrintingArguments, command: Command) => {
      const { showTlsPolicy } = await import('../authority/tls-policy.ts');
      await administer(options, command, (client) => showTlsPolicy(client, options.output));
    },
  );
  addSet(policy);
  addReport(policy);
}

interface SetArguments extends PrintingArguments {
  readonly minVersion: string;
  readonly listener?: string;
  readonly force: boolean;
  readonly reason: string;
}

function addSet(policy: Command): void {
  withPrintingOptions(
    policy.command('set').description('set a floor, unless somebody would be cut off by it'),
  )
    .requiredOption('--min-version <version>', 'such as TLSv1.2; "default": as everywhere')
    .option('--listener <name>', 'only for listeners of this name')
    .option('--force', 'although somebody is cut off; needs --reason', false)
    .option('--reason <text>', 'for the audit log', '')
    .action(async (options: SetArguments, command: Command) => {
      if (options.force && options.reason.trim() === '') {
        command.error('error: --force needs --reason, which is audited');
      }
      if (options.minVersion === 'default' && options.listener === undefined) {
        command.error('error: --min-version default needs --listener');
      }
      const { setTlsPolicy } = await import('../authority/tls-policy.ts');
      const change = {
        minVersion: options.minVersion === 'default' ? undefined : options.minVersion,
        listener: options.listener,
        force: options.force,
        reason: options.reason,
      };
      await administer(options, command, (client) => setTlsPolicy(client, change, options.output));
    });
}

interface ReportArguments extends PrintingArguments {
  readonly minVersion: string;
  readonly listener: string;
  readonly limit: number;
}

function addReport(policy: Command): void {
  withPrintingOptions(
    policy
      .command('report')
      .description('what every listener does by its own account, and who tried less'),
  )
    .option('--min-version <version>', 'list who would be cut off by this floor', '')
    .addOption(
      new Option('--listener <name>', 'of that floor: only listeners of this name').default(''),
    )
    .addOption(limitOption())
    .action(async (options: ReportArguments, command: Command) => {
      const { reportTls } = await import('../authority/tls-policy.ts');
      const { minVersion, listener } = options;
      await administer(options, command, (client) =>
        reportTls(client, { minVersion, listener }, options.limit, options.output),
      );
    });
}
