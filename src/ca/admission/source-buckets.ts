import { RateBudget } from '../../rpc/rate-budget.ts';

export interface SourceLimits {
  /** Failed requests of one source before it has to wait. */
  readonly burst: number;
  /** Failed requests a source may make per second in the long run. */
  readonly perSecond: number;
  /** Sources remembered. */
  readonly maxSources: number;
}

/**
 * A budget for each source, which only failures use up: a fleet behind one address is not slowed down
 * by its size, while who guesses is. Memory is bounded; the source that was quiet the longest is
 * forgotten first.
 */
export class SourceBuckets {
  readonly #limits: SourceLimits;
  readonly #now: () => Date;
  /** In the order of last use. */
  readonly #budgets = new Map<string, RateBudget>();

  constructor(limits: SourceLimits, now: () => Date) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * 0 for a source that may ask; otherwise the ms after which to refuse it. These grow with each, up to
   * half a minute, so that a source in debt hears no more often than it may fail.
   */
  waitMs(source: string): number {
    const budget = this.#budgets.get(source);
    const waitMs = budget?.waitMs ?? 0;
    if (waitMs > 0 && waitMs < LONGEST_WAIT_MS) budget?.spend();
    return waitMs;
  }

  /** A request of a source turned out to be wrong. */
  failed(source: string): void {
    const budget = this.#budgets.get(source) ?? new RateBudget(this.#limits, this.#now);
    budget.spend();
    this.#budgets.delete(source);
    this.#budgets.set(source, budget);
    if (this.#budgets.size > this.#limits.maxSources) {
      const [oldest] = this.#budgets.keys();
      if (oldest !== undefined) this.#budgets.delete(oldest);
    }
  }

  /** Sources that failed. */
  get size(): number {
    return this.#budgets.size;
  }
}

const LONGEST_WAIT_MS = 30_000;
