import { type Command, Option } from 'commander';
import { collect, parseTargetEndpoint } from '../arguments.ts';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';

interface DoctorArguments extends PrintingArguments {
  readonly reach?: readonly string[];
  readonly all: boolean;
}

/** `sidekey doctor`. */
export function addDoctorCommand(program: Command, finish: (code: number) => void): void {
  withPrintingOptions(
    program
      .command('doctor')
      .description(
        'what is misconfigured, ends soon or cannot be reached; 1 if anything hurts now',
      ),
  )
    .addOption(
      new Option(
        '--reach <host:port>',
        'try an address of the authority from here; may be repeated',
      ).argParser((text: string, earlier: readonly string[] | undefined) => {
        parseTargetEndpoint(text);
        return collect(text, earlier);
      }),
    )
    .option('--all', 'show also what is in order', false)
    .action(async (options: DoctorArguments, command: Command) => {
      const { runDoctor } = await import('../authority/doctor.ts');
      const { sidecar, tokenFile } = options;
      const doctorOptions = {
        reach: options.reach ?? [],
        sidecar:
          sidecar === undefined
            ? undefined
            : { address: sidecar, ...(tokenFile === undefined ? {} : { tokenFile }) },
        all: options.all,
      };
      await administer(options, command, async (client) => {
        finish((await runDoctor(client, doctorOptions, options.output)) ? 0 : 1);
      });
    });
}
