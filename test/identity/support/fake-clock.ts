import type { Timers } from '../../../src/identity/timers.ts';

/** A clock that stands still until told, with timers that follow it. */
export class FakeClock implements Timers {
  #ms: number;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  constructor(start = Date.UTC(2026, 5, 1)) {
    this.#ms = start;
  }

  readonly now = (): Date => new Date(this.#ms);

  get pending(): number {
    return this.#timers.length;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#ms + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Lets time pass; timers fire in order, each at its moment. */
  advance(ms: number): void {
    const until = this.#ms + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#ms = Math.max(this.#ms, next.at);
      next.callback();
    }
    this.#ms = until;
  }

  /** As if somebody set it, or the machine slept: no timer notices. */
  jump(ms: number): void {
    this.#ms += ms;
    this.#timers = this.#timers.map(({ at, callback }) => ({ at: at + ms, callback }));
  }
}

/** Waits, turn by turn, until something holds. */
export async function eventually(holds: () => boolean, what = holds.toString()): Promise<void> {
  const giveUpAt = Date.now() + 15_000;
  while (!holds()) {
    if (Date.now() > giveUpAt) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { reason?: string }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('did not reject');
}

/** Lets whatever can happen without time passing happen. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets all that is under way come to its end: until nothing is read or written any more. */
export async function settled(): Promise<void> {
  for (let quiet = 0; quiet < 40; quiet += 1) {
    await turns(1);
    if (process.getActiveResourcesInfo().some((name) => busy.test(name))) quiet = 0;
  }
}

const busy = /^(FSReq|CloseReq|FileHandle)/;
