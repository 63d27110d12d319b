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

/** Calls back again and again; answers how to stop it. A callback that throws ends it. */
export function every(timers: Timers, ms: number, callback: () => void): () => void {
  let stop = timers.after(ms, run);
  function run(): void {
    stop = timers.after(ms, run);
    callback();
  }
  return () => {
    stop();
  };
}
