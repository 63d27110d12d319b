import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Tells a process from another that has its number later: its start, in ticks since the machine's. */
export const processMark = z.object({ pid: z.int().min(1), startTicks: z.string() });
export type ProcessMark = Readonly<z.infer<typeof processMark>>;

/** Absent: it is gone. */
export function markOf(pid: number): ProcessMark | undefined {
  const startTicks = startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Kills the group of a process that was left behind, if it is still the same process. */
export function killLeftBehind({ pid, startTicks }: ProcessMark): void {
  if (startTicksOf(pid) === startTicks) signalGroup(pid, 'SIGKILL');
}

/** To a process and those it started that made no group of their own. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** Field 22 of proc_pid_stat(5), behind the name, which may hold anything. */
function startTicksOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    // It is gone.
    return undefined;
  }
}
