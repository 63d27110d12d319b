import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/free-port.ts';

/** The built program: what is measured is what is deployed. */
export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Processes that hold keys refuse to start with some of these. */
export const environment = { ...process.env, NODE_EXTRA_CA_CERTS: '', NODE_OPTIONS: '' };

/** An authority in a process of its own. */
export interface MeasuredAuthority {
  readonly directory: string;
  readonly administration: string;
  /** How long it took from start to the first answer. */
  readonly startMs: number;
  rssMiB(): number;
  /** CPU time of all of its threads since it started, in the kernel's ticks of 10 ms. */
  cpuMs(): number;
  stop(): Promise<void>;
  /** The same one again, after `stop`. */
  restart(): Promise<MeasuredAuthority>;
}

/** Makes an authority and starts it. `store` absent: SQLite in its state directory. */
export async function startAuthority({
  store,
  limits = 'none',
}: {
  readonly store?: string;
  /** Of what one address may do: those of any authority, or none, where one is all hosts there are. */
  readonly limits?: 'default' | 'none';
} = {}): Promise<MeasuredAuthority> {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-bench-authority-'));
  const config = join(directory, 'authority.yaml');
  writeFileSync(
    config,
    `authority:
  trustDomain: bench.example
  listen: 127.0.0.1:${String(await freePort())}
${store === undefined ? '' : `  store: "${store}"\n`}${limits === 'none' ? noLimits : ''}log: { level: warn }
`,
  );
  sidekey(['authority', 'init', '--config', config]);
  return await start(directory, config);
}

/** Runs one command to its end and answers what it printed. */
export function sidekey(argv: readonly string[]): string {
  return execFileSync(process.execPath, [program, ...argv], {
    encoding: 'utf8',
    env: environment,
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
  });
}

async function start(directory: string, config: string): Promise<MeasuredAuthority> {
  const began = performance.now();
  const child: ChildProcess = spawn(process.execPath, [program, 'sidecar', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: environment,
  });
  const administration = join(directory, 'authority.sock');
  while (!existsSync(administration)) {
    if (child.exitCode !== null) throw new Error('the authority did not start');
    await delay(5);
  }
  const startMs = performance.now() - began;
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  return {
    directory,
    administration: `unix:${administration}`,
    startMs,
    rssMiB: () => {
      const status = readFileSync(`/proc/${String(child.pid)}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+)/mu.exec(status)?.[1]) / 1024;
    },
    cpuMs: () => {
      const stat = readFileSync(`/proc/${String(child.pid)}/stat`, 'utf8');
      // The name of the program, in brackets, may hold spaces; user and system are fields 14 and 15.
      const [user, system] = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .slice(11, 13);
      return (Number(user) + Number(system)) * MS_PER_TICK;
    },
    stop,
    restart: async () => {
      await stop();
      return await start(directory, config);
    },
  };
}

export function removeAuthority({ directory }: MeasuredAuthority): void {
  rmSync(directory, { recursive: true, force: true });
}

/** `getconf CLK_TCK` is 100 wherever Linux runs Node. */
const MS_PER_TICK = 10;
const noLimits =
  '  limits: { handshakesPerSecondPerSource: 100000, connectionsPerSource: 16384 }\n';
