import type { BackOffTimes } from '../config.ts';

/**
 * How long to wait before dialling again: at random from the least to a bound that begins at the first and doubles to the
 * most. All agents lose a manager at the same moment; the whole range is used so that they do not return at one.
 */
export class BackOff {
  readonly #times: BackOffTimes;
  readonly #random: () => number;
  #boundMs: number;

  constructor(times: BackOffTimes, random: () => number) {
    this.#times = times;
    this.#random = random;
    this.#boundMs = times.firstMs;
  }

  nextMs(): number {
    const { leastMs, mostMs } = this.#times;
    const pauseMs = leastMs + this.#random() * (this.#boundMs - leastMs);
    this.#boundMs = Math.min(mostMs, this.#boundMs * 2);
    return Math.round(pauseMs);
  }

  /** After a connection that was of use. */
  reset(): void {
    this.#boundMs = this.#times.firstMs;
  }
}
