import { type Command, Option } from 'commander';
import type { OutputFormat } from '../terminal.ts';
import {
  administer,
  authorityOption,
  type PrintingArguments,
  withPrintingOptions,
} from './authority-options.ts';
import { outputOption } from './options.ts';

/** `sidekey authority init | status | check | backup | restore`. */
export function addAuthorityCommand(program: Command, finish: (code: number) => void): void {
  const authority = program.command('authority').description('the certificate authority itself');
  addInit(authority);
  addStatus(authority, finish);
  addCheck(authority, finish);
  addBackup(authority);
  addRestore(authority);
}

interface ConfigArguments {
  readonly config: string;
  readonly output: OutputFormat;
}

function addInit(authority: Command): void {
  authority
    .command('init')
    .description('make root, issuing CA, token key and store, as the configuration says')
    .addOption(configOption().makeOptionMandatory())
    .addOption(outputOption())
    .action(async ({ config, output }: ConfigArguments) => {
      const { initAuthority } = await import('../authority/offline.ts');
      await initAuthority(config, output);
    });
}

function addStatus(authority: Command, finish: (code: number) => void): void {
  withPrintingOptions(
    authority.command('status').description('everything at a glance; 1 if nothing is issued now'),
  ).action(async (options: PrintingArguments, command: Command) => {
    const { showStatus } = await import('../authority/status.ts');
    await administer(options, command, async (client) => {
      finish((await showStatus(client, options.output)) ? 0 : 1);
    });
  });
}

interface CheckArguments extends Omit<PrintingArguments, 'authority'> {
  readonly authority?: string;
  readonly config?: string;
}

function addCheck(authority: Command, finish: (code: number) => void): void {
  authority
    .command('check')
    .description('whether the store is sound: everything that must always hold; 1 if not')
    .addOption(configOption('of an authority that does not run'))
    .addOption(authorityOption())
    .addOption(outputOption())
    .action(async (options: CheckArguments, command: Command) => {
      const { checkOffline, checkOnline } = await import('../authority/offline.ts');
      const { config, authority: address, output } = options;
      if (config !== undefined) {
        finish((await checkOffline(config, output)) ? 0 : 1);
      } else if (address !== undefined) {
        await administer({ authority: address }, command, async (client) => {
          finish((await checkOnline(client, output)) ? 0 : 1);
        });
      } else {
        command.error('error: give --config, or --authority of one that runs');
      }
    });
}

function addBackup(authority: Command): void {
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

interface RestoreArguments extends ConfigArguments {
  readonly from?: string;
  readonly reason: string;
}

function addRestore(authority: Command): void {
  authority
    .command('restore')
    .description('accept a store of the past; the authority has to be stopped')
    .addOption(configOption().makeOptionMandatory())
    .option('--from <file>', 'backup to put in place of the store; none: it is in place already')
    .requiredOption('--reason <text>', 'for the audit log')
    .addOption(outputOption())
    .action(async ({ config, from, reason, output }: RestoreArguments) => {
      const { restore } = await import('../authority/offline.ts');
      await restore(config, { from, why: reason }, output);
    });
}

function configOption(description = 'configuration with a section "authority"'): Option {
  return new Option('--config <file>', description);
}
