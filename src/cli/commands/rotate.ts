import { type Command, Option } from 'commander';
import { parseCount } from '../arguments.ts';
import { parseLifetime } from '../authority/identifiers.ts';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';

/** `sidekey rotate status`, and one command for each step. */
export function addRotateCommand(program: Command): void {
  const rotate = program
    .command('rotate')
    .description('replace keys of the authority while everything goes on');
  withPrintingOptions(
    rotate.command('status').description('generations, what steps wait for, who is late'),
  ).action(async (options: PrintingArguments, command: Command) => {
    const { showRotation } = await import('../authority/rotation.ts');
    await administer(options, command, (client) => showRotation(client, options.output));
  });
  for (const [step, description] of Object.entries(steps)) addStep(rotate, step, description);
}

interface StepArguments extends PrintingArguments {
  readonly number?: number;
  readonly force: boolean;
  readonly reason: string;
  readonly window?: number;
}

function addStep(rotate: Command, step: string, description: string): void {
  withPrintingOptions(rotate.command(step).description(description))
    .addArgument(
      rotate
        .createArgument('<kind>', 'what is rotated')
        .choices(['root', 'issuing', 'enrolment', 'token', 'ticket']),
    )
    .addOption(
      new Option(
        '--number <number>',
        'of the generation; none: the one the step is due for',
      ).argParser(parseCount(1_000_000)),
    )
    .option('--force', 'do it although the gate is shut; needs --reason', false)
    .option('--reason <text>', 'for the audit log', '')
    .addOption(
      new Option('--window <time>', 'of a reissue: over how long').argParser(parseLifetime),
    )
    .action(async (kind: string, options: StepArguments, command: Command) => {
      if ((options.force || step === 'taint') && options.reason.trim() === '') {
        const what = options.force ? '--force' : 'taint';
        command.error(`error: ${what} needs --reason, which is audited`);
      }
      const { advanceRotation } = await import('../authority/rotation.ts');
      const request = {
        kind,
        step,
        number: options.number,
        force: options.force,
        reason: options.reason,
        windowSeconds: options.window,
      };
      await administer(options, command, (client) =>
        advanceRotation(client, request, options.output),
      );
    });
}

const steps: Readonly<Record<string, string>> = {
  prepare: 'make the next key and its certificates',
  publish: 'put it into the trust bundle of every host',
  activate: 'sign with it from now on',
  reissue: 'have hosts replace what the one before has signed',
  retire: 'take the one before out of the trust bundle',
  destroy: 'destroy a private key that is not used any more',
  rollback: 'go back to the one before',
  taint: 'a key is in wrong hands: stop using it at once and replace all it signed',
  abort: 'give up one that has not signed yet',
};
