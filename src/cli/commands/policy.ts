import type { Command } from 'commander';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';

/** `sidekey policy list | put`. */
export function addPolicyCommand(program: Command): void {
  const policy = program.command('policy').description('what is issued to whom');
  withPrintingOptions(policy.command('list').description('the newest version of each')).action(
    async (options: PrintingArguments, command: Command) => {
      const { listPolicies } = await import('../authority/policies.ts');
      await administer(options, command, (client) => listPolicies(client, options.output));
    },
  );
  withPrintingOptions(policy.command('put').description('add a version; none is ever edited'))
    .argument('<name>', 'of the policy')
    .requiredOption('--file <file>', 'the policy, JSON')
    .action(
      async (name: string, options: PrintingArguments & { file: string }, command: Command) => {
        const { putPolicy } = await import('../authority/policies.ts');
        await administer(options, command, (client) =>
          putPolicy(client, name, options.file, options.output),
        );
      },
    );
}
