/**
 * Tells those who have to come again when: each gets a slot of its own, at the rate at which work is
 * done, so that a fleet that was turned away does not come back all at once.
 */
export class RetrySlots {
  readonly #now: () => Date;
  #next = 0;
  /** What was done, as a running mean. */
  #perSecond: number;
  #count = 0;
  #since: number;

  constructor(now: () => Date, startPerSecond: number) {
    this.#now = now;
    this.#perSecond = startPerSecond;
    this.#since = now().getTime();
  }

  /** Counts a request that was served. */
  served(): void {
    this.#count += 1;
    const now = this.#now().getTime();
    const elapsedMs = now - this.#since;
    if (elapsedMs < MEASURE_MS) return;
    const rate = (this.#count * 1000) / elapsedMs;
    this.#perSecond = Math.max(LEAST_PER_SECOND, this.#perSecond * 0.75 + rate * 0.25);
    this.#count = 0;
    this.#since = now;
  }

  /** ms from now to the next free slot, at least 100 and at most ten minutes. */
  take(): number {
    const now = this.#now().getTime();
    this.#next = Math.max(this.#next, now + LEAST_MS) + 1000 / this.#perSecond;
    // Beyond the longest wait slots are shared: there are more than can be told apart.
    if (this.#next > now + LONGEST_MS) this.#next = now + LONGEST_MS / 2;
    return Math.ceil(this.#next - now);
  }
}

const MEASURE_MS = 1000;
/** After a quiet time the mean says nothing of what could be done. */
const LEAST_PER_SECOND = 200;
const LEAST_MS = 100;
const LONGEST_MS = 600_000;
