import type { Timers } from '../timers.ts';

/** Something that happens again and again until it is stopped. */
export interface Repetition {
  /** Has the next run begin at once, or after the one under way. */
  hasten(): void;
  /** Resolves when the run under way, if any, is over. */
  stop(): Promise<void>;
}

/**
 * Runs `task` at once and then `everyMs` after each end of it, so that no two runs overlap. What it
 * rejects with goes to `onError`.
 */
export function repeat(
  timers: Timers,
  everyMs: number,
  task: () => Promise<void>,
  onError: (error: unknown) => void,
): Repetition {
  let cancel: () => void = () => undefined;
  let isRunning = false;
  let asked = 0;
  let stopped = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    let before;
    do {
      before = asked;
      await task().catch(onError);
    } while (asked !== before && !stopped);
    isRunning = false;
    if (!stopped) cancel = timers.after(everyMs, start);
  };
  const start = (): void => {
    running = run();
  };
  let running = run();
  return {
    hasten: () => {
      asked += 1;
      if (isRunning || stopped) return;
      cancel();
      start();
    },
    stop: async () => {
      stopped = true;
      cancel();
      await running;
    },
  };
}
