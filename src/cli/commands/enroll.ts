import type { Command } from 'commander';
import { outputOption, sidecarOption } from './options.ts';
import type { OutputFormat } from '../terminal.ts';

interface EnrollArguments {
  readonly bundle: string;
  readonly sidecar: string;
  readonly identity?: string;
  readonly output: OutputFormat;
}

/** `sidekey enroll --bundle FILE --sidecar ADDR [--identity NAME]`. */
export function addEnrollCommand(program: Command): void {
  program
    .command('enroll')
    .description('have a sidecar enrol with its authority; it renews by itself from then on')
    .requiredOption('--bundle <file>', 'as "token create" wrote it')
    .addOption(sidecarOption())
    .option('--identity <name>', 'in the sidecar\'s configuration; none: the only one "enrolled"')
    .addOption(outputOption())
    .action(async (options: EnrollArguments) => {
      const { enroll } = await import('../authority/enroll.ts');
      const { bundle, sidecar, identity = '', output } = options;
      await enroll({ bundle, sidecar, identity }, output);
    });
}
