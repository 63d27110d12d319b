import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';

/** Which of the two ends a process works for. Each end has a core of its own where there are two. */
export type Side = 'client' | 'server';

/** Whether main threads are held on their cores. */
export const pinned = cpus().length >= 2 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

/**
 * Where every process leaves a CPU profile when it ends, for developer tools to read; from the
 * environment, as it has to reach whoever starts a process.
 */
const profileDirectory = process.env['SIDEKEY_BENCH_PROFILE'];

/** Starts Node, with a message channel or without; errors are passed on. */
export function startNode(script: readonly string[], channel: 'ipc' | 'ignore'): ChildProcess {
  const args =
    profileDirectory === undefined
      ? script
      : [
          '--cpu-prof',
          `--cpu-prof-dir=${profileDirectory}`,
          // Sidecars do not run under a profiler they can see.
          '--import=data:text/javascript,process.execArgv.splice(0)',
          ...script,
        ];
  return spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'inherit', channel],
    // Nothing in the caller's environment may change what is measured.
    env: { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'] },
  });
}

/**
 * Holds the main thread of a process on the core of its side, once the process runs. Its helpers,
 * collectors of garbage above all, stay free: on the same core they starve while the main thread
 * is busy, and V8 answers that with full collections.
 */
export function pin(child: ChildProcess, side: Side): void {
  if (!pinned || child.pid === undefined) return;
  const core = side === 'client' ? '0' : '1';
  const { status } = spawnSync('taskset', ['-c', '-p', core, String(child.pid)]);
  if (status !== 0) throw new Error(`cannot pin process ${String(child.pid)}`);
}

/** Ends a process, in the way it expects, and waits until it is gone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    if (child.connected) child.disconnect();
    else child.kill('SIGTERM');
  });
}
