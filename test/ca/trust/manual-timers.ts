import type { Timers } from '../../../src/ca/timers.ts';

/** Timers that fire when a test says that time has passed. */
export interface ManualTimers extends Timers {
  /** Fires what is due after so many more milliseconds, in order. */
  pass(ms: number): void;
  /** Timers set and not fired. */
  readonly waiting: number;
  /** Resolves in the first turn of the event loop in which it is so. */
  until(isSo: () => boolean): Promise<void>;
}

export function manualTimers(): ManualTimers {
  let now = 0;
  const waiting = new Set<{ readonly at: number; readonly callback: () => void }>();
  return {
    after(ms, callback) {
      const timer = { at: now + ms, callback };
      waiting.add(timer);
      return () => waiting.delete(timer);
    },
    pass(ms) {
      now += ms;
      const due = [...waiting].filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
      for (const timer of due) {
        if (waiting.delete(timer)) timer.callback();
      }
    },
    get waiting() {
      return waiting.size;
    },
    async until(isSo) {
      while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
