/**
 * A budget that is spent and grows back with time, up to `burst`: for work or events of which only so
 * many per second are bearable.
 */
export class RateBudget {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => Date;
  #left: number;
  #refilledAt: number;

  constructor(limits: { readonly burst: number; readonly perSecond: number }, now: () => Date) {
    this.#burst = limits.burst;
    this.#perSecond = limits.perSecond;
    this.#now = now;
    this.#left = limits.burst;
    this.#refilledAt = now().getTime();
  }

  /** Whether some is left now. */
  get available(): boolean {
    this.#refill();
    return this.#left >= 1;
  }

  /** ms until some is left; 0: now. */
  get waitMs(): number {
    this.#refill();
    return Math.max(0, ((1 - this.#left) * 1000) / this.#perSecond);
  }

  /** Takes units, also when none is left. */
  spend(units = 1): void {
    this.#refill();
    this.#left -= units;
  }

  /** Gives units back, up to `burst`. */
  refund(units: number): void {
    this.#refill();
    this.#left = Math.min(this.#burst, this.#left + units);
  }

  #refill(): void {
    const now = this.#now().getTime();
    const elapsedMs = Math.max(0, now - this.#refilledAt);
    this.#refilledAt = now;
    this.#left = Math.min(this.#burst, this.#left + (elapsedMs * this.#perSecond) / 1000);
  }
}
