import type { Timers } from '../timers.ts';

/** Something that happens again and again until it is stopped. */
export interface Repetition {
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
  let stopped = false;
  const run = async (): Promise<void> => {
    await task().catch(onError);
    if (stopped) return;
    cancel = timers.after(everyMs, () => {
      running = run();
    });
  };
  let running = run();
  return {
    stop: async () => {
      stopped = true;
      cancel();
      await running;
    },
  };
}
