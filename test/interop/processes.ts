import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

/** Where a program is, or `undefined` if this machine has none. */
export function findProgram(
  name: string,
  furtherDirectories: readonly string[] = [],
): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(path.delimiter);
  for (const directory of [...directories, '/usr/sbin', '/sbin', ...furtherDirectories]) {
    const candidate = path.join(directory, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  return undefined;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  /** Leave stdin open after the input: programs that quit at its end would miss the answer. */
  readonly keepInputOpen?: boolean;
  /** With `keepInputOpen`: close stdin once stdout matches, for peers that do not close first. */
  readonly endInputWhen?: RegExp;
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  readonly timeoutMs?: number;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** Both, for searching. */
  readonly text: string;
}

/** Runs a program to its end. Fails on a timeout only; a bad exit code is the caller's to judge. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = start(command, args, options);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let recent = '';
  const timeoutMs = options.timeoutMs ?? 20_000;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      const heard = tail(Buffer.concat([...stdout, ...stderr]).toString('latin1'));
      reject(
        new Error(`${path.basename(command)} did not end within ${String(timeoutMs)} ms: ${heard}`),
      );
    }, timeoutMs);
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      recent = (recent + chunk.toString('latin1')).slice(-recentCharacters);
      if (options.endInputWhen?.test(recent)) child.stdin?.end();
    });
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      const errors = Buffer.concat(stderr).toString();
      const output = Buffer.concat(stdout);
      resolve({
        code,
        stdout: output,
        stderr: errors,
        text: `${output.toString('latin1')}${errors}`,
      });
    });
    // A program that quits without reading its input is judged by what it printed.
    child.stdin?.on('error', () => undefined);
    if (options.input !== undefined) child.stdin?.write(options.input);
    if (options.keepInputOpen !== true) child.stdin?.end();
  });
}

/** A program that serves until it is stopped. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #exited: Promise<void>;
  #output = '';
  #onOutput: () => void = () => undefined;

  private constructor(command: string, args: readonly string[], options: RunOptions) {
    this.#name = path.basename(command);
    this.#child = start(command, args, options);
    const take = (chunk: Buffer): void => {
      // Enough to search for lines, bounded for servers that run through thousands of handshakes.
      this.#output = (this.#output + chunk.toString('latin1')).slice(-1_000_000);
      this.#onOutput();
    };
    this.#child.stdout?.on('data', take);
    this.#child.stderr?.on('data', take);
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#output += error.message;
        resolve();
      });
      this.#child.on('close', () => {
        resolve();
      });
    });
    if (options.input !== undefined) this.#child.stdin?.write(options.input);
    if (options.keepInputOpen !== true) this.#child.stdin?.end();
  }

  /** Starts a server and waits until it prints `ready`. */
  static async printing(
    ready: RegExp,
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<Daemon> {
    const daemon = new Daemon(command, args, options);
    await daemon.waitFor(ready, options.timeoutMs);
    return daemon;
  }

  /** Starts a server and waits until it accepts connections on `port`. */
  static async listening(
    port: number,
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<Daemon> {
    const daemon = new Daemon(command, args, options);
    const ended = daemon.#exited.then(() => 'ended' as const);
    for (let attempt = 0; attempt < 200; attempt++) {
      if (await accepts(port)) return daemon;
      if ((await Promise.race([pause(50), ended])) === 'ended') break;
    }
    await daemon.stop();
    throw new Error(`${daemon.#name} does not listen: ${tail(daemon.#output)}`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** All it has printed, stdout and stderr. */
  get output(): string {
    return this.#output;
  }

  /** Waits until the output matches. */
  async waitFor(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpExecArray> {
    let timer: NodeJS.Timeout | undefined;
    const matched = new Promise<RegExpExecArray>((resolve) => {
      this.#onOutput = () => {
        const match = pattern.exec(this.#output);
        if (match !== null) resolve(match);
      };
      this.#onOutput();
    });
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, undefined);
    });
    const match = await Promise.race([matched, late, this.#exited]);
    clearTimeout(timer);
    this.#onOutput = () => undefined;
    if (match !== undefined) return match;
    await this.stop();
    throw new Error(`${this.#name} did not print ${String(pattern)}: ${tail(this.#output)}`);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3_000);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** The end of a program's output, for an error message. */
export function tail(text: string): string {
  return text.trim().slice(-600).replaceAll(/\s+/g, ' ');
}

function start(command: string, args: readonly string[], options: RunOptions): ChildProcess {
  const child = spawn(command, args, {
    cwd: options.directory,
    env: { ...bareEnvironment(), ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.on('close', () => running.delete(child));
  return child;
}

/** What is set around the harness shall not change how peers or sidecars behave. */
function bareEnvironment(): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, TMPDIR, LANG: 'C.UTF-8' };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => {
      resolve(false);
    });
  });
}

function pause(delayMs: number): Promise<'paused'> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs, 'paused');
  });
}

/** How far back `endInputWhen` looks. */
const recentCharacters = 4096;

// Whatever ends the harness, nothing it started outlives it.
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => process.exit(1));
}
