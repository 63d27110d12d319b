import type { Command } from 'commander';

/** `sidekey sidecar --config FILE [--check]`. */
export function addSidecarCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('sidecar')
    .description('run a sidecar in the foreground')
    .requiredOption('--config <file>', 'configuration (YAML; paths in it are relative to it)')
    .option('--check', 'validate the configuration, report every problem, and exit', false)
    .action(async (options: { config: string; check: boolean }) => {
      const { runSidecar } = await import('../../apps/sidecar/main.ts');
      finish(await runSidecar({ configPath: options.config, check: options.check }));
    });
}
