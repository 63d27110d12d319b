import { run } from '../../../src/cli/program.ts';

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in this process and takes what it would have printed. */
export async function runCommand(argv: readonly string[]): Promise<CommandResult> {
  let out = '';
  let err = '';
  const stdout = process.stdout.write.bind(process.stdout);
  const stderr = process.stderr.write.bind(process.stderr);
  process.stdout.write = (text: string) => ((out += text), true);
  process.stderr.write = (text: string) => ((err += text), true);
  try {
    const code = await run(argv, {
      writeOut: (text) => (out += text),
      writeErr: (text) => (err += text),
    });
    return { code, out, err };
  } finally {
    process.stdout.write = stdout;
    process.stderr.write = stderr;
  }
}
