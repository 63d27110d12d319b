import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';

/** Which of the two ends a process works for. Each end has a core of its own where there are two. */
export type Side = 'client' | 'server';

/** Whether processes are held on their cores. */
export const pinned = cpus().length >= 2 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

/** Starts Node on the core of a side, with a message channel; what it prints is passed on. */
export function startNode(side: Side, args: readonly string[]): ChildProcess {
  const core = side === 'client' ? '0' : '1';
  const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
  return pinned
    ? spawn('taskset', ['-c', core, process.execPath, ...args], { stdio: [...stdio] })
    : spawn(process.execPath, args, { stdio: [...stdio] });
}

/** Ends a process and waits until it is gone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.kill('SIGTERM');
  });
}
