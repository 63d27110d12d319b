import type { Command } from 'commander';

/** `sidekey agent --config FILE [--check]`. */
export function addAgentCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('agent')
    .description('run an agent in the foreground: it answers managers, and asks nobody')
    .requiredOption('--config <file>', 'configuration (YAML; paths in it are relative to it)')
    .option('--check', 'validate the configuration, report every problem, and exit', false)
    .action(async (options: { config: string; check: boolean }) => {
      const { runAgent } = await import('../../apps/agent/main.ts');
      finish(await runAgent({ configPath: options.config, check: options.check }));
    });
}
