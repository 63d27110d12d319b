import { ServiceError } from '../rpc/errors.ts';
import { RateBudget } from '../rpc/rate-budget.ts';

/** So many calls per second for each of those who make them. */
export class CallBudget {
  readonly #budgets = new Map<string, RateBudget>();
  readonly #limits: { readonly burst: number; readonly perSecond: number };
  readonly #now: () => Date;

  constructor(limits: { readonly burst: number; readonly perSecond: number }, now: () => Date) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Takes one call of this caller. Throws `ServiceError` if he has none left. */
  spend(callerId: string): void {
    const budget = this.#budgetOf(callerId);
    if (!budget.available) {
      throw new ServiceError('RESOURCE_EXHAUSTED', 'too_many_calls', 'too many calls at once', {
        retryAfterMs: Math.ceil(1000 / this.#limits.perSecond),
      });
    }
    budget.spend();
  }

  /** Callers are users of this host that a rule names, so there are few; the bound is for the rest. */
  #budgetOf(callerId: string): RateBudget {
    const known = this.#budgets.get(callerId);
    if (known !== undefined) return known;
    if (this.#budgets.size >= maxCallers) this.#budgets.clear();
    const budget = new RateBudget(this.#limits, this.#now);
    this.#budgets.set(callerId, budget);
    return budget;
  }
}

const maxCallers = 1024;
