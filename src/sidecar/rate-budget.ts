/**
 * A budget per second for work that blocks the process (P-384 key exchange: some milliseconds).
 * Unused budget is kept for one second.
 */
export class RateBudget {
  readonly #perSecond: number;
  readonly #now: () => Date;
  #left: number;
  #refilledAt: number;

  constructor(perSecond: number, now: () => Date) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = perSecond;
    this.#refilledAt = now().getTime();
  }

  /** Whether some is left now. */
  get available(): boolean {
    this.#refill();
    return this.#left >= 1;
  }

  /** Takes one unit, also when none is left. */
  spend(): void {
    this.#refill();
    this.#left -= 1;
  }

  #refill(): void {
    const now = this.#now().getTime();
    const elapsedMs = Math.max(0, now - this.#refilledAt);
    this.#refilledAt = now;
    this.#left = Math.min(this.#perSecond, this.#left + (elapsedMs * this.#perSecond) / 1000);
  }
}
