import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { skip } from '../support/skip.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Skips a suite where there is nothing built to start. */
export function needsBuild(context: Mocha.Context): void {
  if (existsSync(main)) return;
  skip(context, 'dist/ is not there; "make test" builds it first');
}

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** `sidekey` as users start it. */
export class BuiltCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly finished: Promise<Finished>;
  #out = '';
  #err = '';

  constructor(args: readonly string[], input?: string) {
    // A sidecar refuses variables by which tools look into processes, a coverage run's among them.
    const { PATH, SOFTHSM2_CONF } = process.env;
    this.child = spawn(process.execPath, [main, ...args], { env: { PATH, SOFTHSM2_CONF } });
    this.child.stdout.on('data', (chunk: Buffer) => (this.#out += chunk.toString()));
    this.child.stderr.on('data', (chunk: Buffer) => (this.#err += chunk.toString()));
    if (input !== undefined) this.child.stdin.end(input);
    this.finished = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      out: this.#out,
      err: this.#err,
    }));
  }

  /** Settles with the first match in standard output; fails if the command ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#out);
      if (match !== null) return match;
      const ended = await Promise.race([once(this.child.stdout, 'data'), this.finished]);
      if (!Array.isArray(ended)) throw new Error(`ended with ${String(ended.code)}: ${ended.err}`);
    }
  }

  /** Asks it to stop. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    this.child.kill(signal);
    return this.finished;
  }
}

/** Runs a command to its end. */
export function sidekey(args: readonly string[], input = ''): Promise<Finished> {
  return new BuiltCommand(args, input).finished;
}
