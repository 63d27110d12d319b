import { readdirSync, readFileSync } from 'node:fs';

/** What a process has cost since it began, from the scheduler's own books (Linux). */
export interface ProcessCost {
  /** Seconds on a CPU, all threads. */
  readonly cpuSeconds: number;
  /** Seconds ready to run while something else ran: a machine with other work shows here. */
  readonly waitSeconds: number;
}

/** Undefined where there is no such book. */
export function processCost(pid: number): ProcessCost | undefined {
  let cpuSeconds = 0;
  let waitSeconds = 0;
  let threads: readonly string[];
  try {
    threads = readdirSync(`/proc/${String(pid)}/task`);
  } catch {
    // Not Linux, or the process is gone.
    return undefined;
  }
  for (const thread of threads) {
    try {
      const book = readFileSync(`/proc/${String(pid)}/task/${thread}/schedstat`, 'utf8');
      const [ran = 0, waited = 0] = book.split(' ').map(Number);
      cpuSeconds += ran / 1e9;
      waitSeconds += waited / 1e9;
    } catch {
      // A thread that ended between the two reads.
    }
  }
  return { cpuSeconds, waitSeconds };
}

/** Bytes of memory that are this process's alone, plus its share of what it shares. */
export function ownMemoryBytes(): number {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'));
    if (kilobytes?.[1] !== undefined) return Number(kilobytes[1]) * 1024;
  } catch {
    // Not Linux, or not allowed: resident memory has to do.
  }
  return process.memoryUsage.rss();
}
