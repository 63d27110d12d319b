import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { OutputTail } from './output-tail.ts';
import { markOf, type ProcessMark, signalGroup } from './process-mark.ts';

export interface CommandOptions {
  /** Program and arguments, given to the kernel as they are. */
  readonly command: readonly [string, ...string[]];
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
  /** Beside the few variables every command has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What it wrote to file descriptor 3, a number from 0 to 1 on a line. */
  readonly onProgress?: (progress: number) => void;
}

export interface CommandOutcome {
  /** Absent: it was ended by a signal, or never began. */
  readonly exitCode: number | undefined;
  /** The end of what it printed, both ways in the order it came. */
  readonly output: string;
  /** Why it did not end by itself. */
  readonly problem: string | undefined;
}

/**
 * A program run without a shell, in a process group of its own and with nothing of our environment. It ends by itself,
 * at its time limit, or when told; then the whole group does.
 */
export class RunningCommand {
  readonly outcome: Promise<CommandOutcome>;
  /** Absent: it could not be run. */
  readonly #child: ChildProcess | undefined;
  readonly #output: OutputTail;
  readonly #timers: NodeJS.Timeout[] = [];
  #problem: string | undefined;

  constructor(options: CommandOptions) {
    this.#output = new OutputTail(options.maxOutputBytes);
    try {
      this.#child = spawnGroup(options);
    } catch (error) {
      // Some of what is wrong, as a line that is too long for the kernel, Node throws.
      this.outcome = Promise.resolve(neverRun(error));
      return;
    }
    const child = this.#child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output.add(chunk);
      });
    }
    this.#readProgress(child, options.onProgress);
    this.#timers.push(
      setTimeout(() => {
        this.stop(`took longer than ${String(options.timeoutMs)} ms`);
      }, options.timeoutMs),
    );
    this.outcome = this.#ended(child);
  }

  /** Absent: it never began, or is gone already. */
  get mark(): ProcessMark | undefined {
    const pid = this.#child?.pid;
    return pid === undefined ? undefined : markOf(pid);
  }

  /** Ends the group: asks first, then does not. */
  stop(problem: string): void {
    if (this.#problem !== undefined) return;
    this.#problem = problem;
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    signalGroup(pid, 'SIGTERM');
    this.#timers.push(
      setTimeout(() => {
        signalGroup(pid, 'SIGKILL');
      }, graceMs),
    );
  }

  #ended(child: ChildProcess): Promise<CommandOutcome> {
    return new Promise((resolve) => {
      const finish = (outcome: CommandOutcome): void => {
        for (const timer of this.#timers) clearTimeout(timer);
        for (const stream of child.stdio) stream?.destroy();
        resolve(outcome);
      };
      child.once('error', (error) => {
        finish(neverRun(error));
      });
      child.once('exit', (code, signal) => {
        const { pid } = child;
        // One that was told to stop takes what it started with it.
        if (this.#problem !== undefined && pid !== undefined) signalGroup(pid, 'SIGKILL');
        const problem = this.#problem ?? (signal === null ? undefined : `ended by ${signal}`);
        const end = (): void => {
          finish({ exitCode: code ?? undefined, output: this.#output.text(), problem });
        };
        // Somebody it started may hold its output open for ever.
        const timer = setTimeout(end, lingerMs);
        child.once('close', () => {
          clearTimeout(timer);
          end();
        });
      });
    });
  }

  #readProgress(child: ChildProcess, onProgress: ((progress: number) => void) | undefined): void {
    const stream = child.stdio[3] as Readable | null | undefined;
    let rest = '';
    stream?.on('error', () => undefined);
    stream?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('latin1')).slice(-1024).split('\n');
      rest = lines.pop() ?? '';
      const last = lines.at(-1)?.trim();
      const progress = Number(last);
      if (last !== undefined && last !== '' && progress >= 0 && progress <= 1) {
        onProgress?.(progress);
      }
    });
  }
}

function spawnGroup({ command: [program, ...rest], environment }: CommandOptions): ChildProcess {
  return spawn(program, rest, {
    cwd: '/',
    detached: true,
    shell: false,
    env: { ...baseEnvironment, ...environment },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
}

function neverRun(error: unknown): CommandOutcome {
  const message = error instanceof Error ? error.message : String(error);
  return { exitCode: undefined, output: '', problem: `cannot be run: ${message}` };
}

const baseEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
} as const;
const graceMs = 5000;
const lingerMs = 1000;
