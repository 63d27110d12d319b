/** Something that happens again and again until it is stopped. */
export interface Repetition {
  /** Resolves when the run under way, if any, is over. */
  stop(): Promise<void>;
}

/**
 * Runs `task` at once and then `everyMs` after each end of it, so that no two runs overlap. What it
 * rejects with goes to `onError`. Does not keep the process alive.
 */
export function repeat(
  everyMs: number,
  task: () => Promise<void>,
  onError: (error: unknown) => void,
): Repetition {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const run = async (): Promise<void> => {
    await task().catch(onError);
    if (stopped) return;
    timer = setTimeout(() => {
      running = run();
    }, everyMs).unref();
  };
  let running = run();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
