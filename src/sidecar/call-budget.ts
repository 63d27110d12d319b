import { ServiceError } from '../rpc/errors.ts';
import { RateBudget } from '../rpc/rate-budget.ts';

/** So many calls per second for each of those who make them, and twice as many at once. */
export class CallBudget {
  readonly #budgets = new Map<string, RateBudget>();
  readonly #perSecond: number;
  readonly #now: () => Date;

  constructor(perSecond: number, now: () => Date) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** Takes one call of this caller. Throws `ServiceError` if he has none left. */
  spend(callerId: string): void {
    const budget = this.#budgetOf(callerId);
    if (!budget.available) {
      throw new ServiceError('RESOURCE_EXHAUSTED', 'too_many_calls', 'too many calls at once', {
        retryAfterMs: Math.ceil(1000 / this.#perSecond),
      });
    }
    budget.spend();
  }

  /** Callers are users of this host that a rule names, so there are few; the bound is for the rest. */
  #budgetOf(callerId: string): RateBudget {
    const known = this.#budgets.get(callerId);
    if (known !== undefined) return known;
    if (this.#budgets.size >= maxCallers) this.#budgets.clear();
    const budget = new RateBudget(
      { burst: 2 * this.#perSecond, perSecond: this.#perSecond },
      this.#now,
    );
    this.#budgets.set(callerId, budget);
    return budget;
  }
}

const maxCallers = 1024;
