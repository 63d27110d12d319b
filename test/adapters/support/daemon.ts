import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import { freePort } from '../../support/free-port.ts';

/** A stock server of the test run, on a port of the loopback interface. */
export interface Daemon {
  readonly port: number;
  stop(): Promise<void>;
}

export interface DaemonOptions {
  readonly command: string;
  readonly arguments: (port: number) => readonly string[];
  /** What it prints once it serves. */
  readonly ready: RegExp;
  readonly user?: { readonly uid?: number; readonly gid?: number };
  readonly cwd?: string;
}

/**
 * Starts a server that cannot be asked for a free port: one is looked for, and another where somebody
 * was faster. It ends with this process, however that ends.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  let output = '';
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const port = await freePort();
    const shell = launch(options, port);
    output = await outputUntilReady(shell, options.ready);
    if (options.ready.test(output)) return { port, stop: () => stop(shell) };
    await stop(shell);
  }
  throw new Error(`${options.command} did not start:\n${output}`);
}

/** Path of a program, or `undefined` where it is not installed. */
export function findProgram(name: string): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return places.map((place) => join(place, name)).find((path) => existsSync(path));
}

function launch(options: DaemonOptions, port: number): ChildProcess {
  // The shell holds the server: it ends it when this process's end of the pipe goes away.
  const script = '"$@" 2>&1 & server=$!; read -r line; kill -TERM $server; wait $server';
  const shell = spawn(
    '/bin/sh',
    ['-c', script, 'sh', options.command, ...options.arguments(port)],
    {
      ...options.user,
      stdio: ['pipe', 'pipe', 'ignore'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  shell.unref();
  for (const pipe of [shell.stdin, shell.stdout]) (pipe as unknown as { unref(): void }).unref();
  return shell;
}

async function outputUntilReady(shell: ChildProcess, ready: RegExp): Promise<string> {
  let output = '';
  (shell.stdout as unknown as { ref(): void }).ref();
  await new Promise<void>((resolve) => {
    const patience = setTimeout(resolve, 15_000);
    const finish = (): void => {
      clearTimeout(patience);
      resolve();
    };
    shell.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (ready.test(output) || /in use/i.test(output)) finish();
    });
    shell.stdout?.once('end', finish);
  });
  shell.stdout?.removeAllListeners().resume();
  (shell.stdout as unknown as { unref(): void }).unref();
  return output;
}

async function stop(shell: ChildProcess): Promise<void> {
  if (shell.exitCode !== null) return;
  const ended = once(shell, 'exit');
  shell.ref();
  shell.stdin?.end('stop\n');
  await ended;
}
