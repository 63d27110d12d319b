/** Timers, injected so that tests need not wait. */
export interface Timers {
  /** Calls back once after `ms`; answers how to stop it. */
  after(ms: number, callback: () => void): () => void;
}

/** Node's timers; none keeps the process alive. */
export const nodeTimers: Timers = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/**
 * Calls back at a moment of the wall clock, however far away. Looks at the clock at least once a
 * minute: Node cuts timers of more than 24.8 days short, and no timer runs while a machine sleeps or
 * notices that its clock was set.
 */
export class Alarm {
  readonly #now: () => Date;
  readonly #timers: Timers;
  #stop: (() => void) | undefined;

  constructor(now: () => Date, timers: Timers) {
    this.#now = now;
    this.#timers = timers;
  }

  /** Replaces what was set before. The callback never runs within this call. */
  set(at: Date, callback: () => void): void {
    this.clear();
    const left = at.getTime() - this.#now().getTime();
    const ms = Math.min(Math.max(left, 0), lookMs);
    this.#stop = this.#timers.after(ms, () => {
      this.#stop = undefined;
      if (this.#now().getTime() >= at.getTime()) callback();
      else this.set(at, callback);
    });
  }

  clear(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}

const lookMs = 60_000;
