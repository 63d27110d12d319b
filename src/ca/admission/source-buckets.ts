import { RateBudget } from '../../rpc/rate-budget.ts';

export interface SourceLimits {
  /** Requests of one source at work, and failed ones, before it has to wait. */
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

  /** Takes one, or answers `false`. */
  take(source: string): boolean {
    const budget = this.#of(source);
    if (!budget.available) return false;
    budget.spend();
    return true;
  }

  /** Gives back what a request took that was in order. */
  refund(source: string): void {
    this.#budgets.get(source)?.refund(1);
  }

  get size(): number {
    return this.#budgets.size;
  }

  #of(source: string): RateBudget {
    const known = this.#budgets.get(source);
    this.#budgets.delete(source);
    const budget = known ?? new RateBudget(this.#limits, this.#now);
    this.#budgets.set(source, budget);
    if (this.#budgets.size > this.#limits.maxSources) {
      const [oldest] = this.#budgets.keys();
      if (oldest !== undefined) this.#budgets.delete(oldest);
    }
    return budget;
  }
}
