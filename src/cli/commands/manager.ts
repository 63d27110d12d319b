import type { Command } from 'commander';

/** `sidekey manager --config FILE [--check]`. */
export function addManagerCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('manager')
    .description('run a manager of agents in the foreground')
    .requiredOption('--config <file>', 'configuration (YAML; paths in it are relative to it)')
    .option('--check', 'validate the configuration, report every problem, and exit', false)
    .action(async (options: { config: string; check: boolean }) => {
      const { runManager } = await import('../../apps/manager/main.ts');
      finish(await runManager({ configPath: options.config, check: options.check }));
    });
}
