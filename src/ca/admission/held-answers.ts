import type { Timers } from '../timers.ts';

/** ms. A second turns thousands of guesses per second and connection into as many as it has streams. */
const LEAST_HOLD_MS = 1000;
/** Some kilobytes each. */
const MAX_HELD = 4096;

/**
 * Answers that are given late, to those whose requests keep failing or are too many: while a stream waits, nothing new
 * comes in on it, so that who floods is slowed down where it costs us nothing.
 */
export class HeldAnswers {
  readonly #timers: Timers;
  readonly #maxHeld: number;
  #held = 0;

  constructor(timers: Timers, maxHeld = MAX_HELD) {
    this.#timers = timers;
    this.#maxHeld = maxHeld;
  }

  get held(): number {
    return this.#held;
  }

  /** Holds for `ms`, or longer. Answers `false`, and does nothing, if too many are held already. */
  hold(answer: () => void, ms: number): boolean {
    if (this.#held >= this.#maxHeld) return false;
    this.#held += 1;
    this.#timers.after(Math.max(LEAST_HOLD_MS, ms), () => {
      this.#held -= 1;
      answer();
    });
    return true;
  }
}
