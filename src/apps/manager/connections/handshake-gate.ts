/** How many handshakes may begin, and wait. */
export interface GateLimits {
  readonly perSecond: number;
  /** Under way at the same time. */
  readonly atOnce: number;
  /** Of all sources together; one source may have a quarter. */
  readonly waiting: number;
  /** Who waits longer is sent away: its peer has given up by then. */
  readonly patienceMs: number;
}

/** Takes the place of one handshake; to be called once, when that has ended. */
export type Leave = () => void;

/**
 * Lets handshakes begin at a rate, so that a whole fleet that comes back at once neither starves the sidecar nor
 * times out together. Sources take turns: one that comes often waits behind itself, not before others.
 */
export class HandshakeGate {
  readonly #limits: GateLimits;
  readonly #now: () => number;
  /** By source, in the order of their turns. */
  readonly #queues = new Map<string, Waiting[]>();
  #waiting = 0;
  #running = 0;
  #tokens: number;
  #refilledAt: number;
  #timer: NodeJS.Timeout | undefined;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(limits: GateLimits, now = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
    this.#refilledAt = now();
    this.#tokens = limits.perSecond;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /** Resolves when a handshake may begin; with `undefined` if it may not: too many wait, or it waited too long. */
  enter(source: string): Promise<Leave | undefined> {
    const queue = this.#queues.get(source) ?? [];
    const { waiting: most, patienceMs } = this.#limits;
    if (this.#waiting >= most || queue.length >= Math.max(1, most / 4)) {
      return Promise.resolve(undefined);
    }
    return new Promise((resolve) => {
      queue.push({ resolve, until: this.#now() + patienceMs });
      this.#queues.set(source, queue);
      this.#waiting += 1;
      this.#admit();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const queue of this.#queues.values()) for (const { resolve } of queue) resolve(undefined);
    this.#queues.clear();
    this.#waiting = 0;
  }

  #admit(): void {
    this.#refill();
    while (this.#waiting > 0 && this.#tokens >= 1 && this.#running < this.#limits.atOnce) {
      const next = this.#next();
      if (next === undefined) return;
      if (next.until < this.#now()) {
        next.resolve(undefined);
        continue;
      }
      this.#tokens -= 1;
      this.#running += 1;
      next.resolve(this.#leave());
    }
    if (this.#waiting === 0 || this.#timer !== undefined) return;
    const waitMs = Math.max(5, ((1 - this.#tokens) / this.#limits.perSecond) * 1000);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#admit();
    }, waitMs).unref();
  }

  #leave(): Leave {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running -= 1;
      this.#admit();
    };
  }

  /** The source whose turn it is goes to the end. */
  #next(): Waiting | undefined {
    for (const [source, queue] of this.#queues) {
      const next = queue.shift();
      this.#queues.delete(source);
      if (queue.length > 0) this.#queues.set(source, queue);
      if (next === undefined) continue;
      this.#waiting -= 1;
      return next;
    }
    return undefined;
  }

  #refill(): void {
    const now = this.#now();
    const { perSecond } = this.#limits;
    this.#tokens = Math.min(
      perSecond,
      this.#tokens + ((now - this.#refilledAt) / 1000) * perSecond,
    );
    this.#refilledAt = now;
  }
}

interface Waiting {
  readonly resolve: (leave: Leave | undefined) => void;
  readonly until: number;
}
