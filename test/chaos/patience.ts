import { availableParallelism, loadavg } from 'node:os';

/**
 * How much longer than usual things may take: on a machine with much else to do, deadlines of a few
 * seconds say more about the machine than about what is tried.
 */
export const patience = Math.min(
  6,
  Math.max(1, Math.ceil((loadavg()[0] ?? 0) / availableParallelism() / 2)),
);
