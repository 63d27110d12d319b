import { formatTable, print, styled } from '../terminal.ts';

/** A step did not show what it is there to show. */
export class StepFailedError extends Error {
  override readonly name = 'StepFailedError';
}

/**
 * What the demo prints: numbered steps, each with the facts as they come, and at the end a table
 * of what every step proved.
 */
export class Story {
  readonly #rows: [string, string, string][] = [];
  #number = 0;
  #proof = '';

  /**
   * Tells one step and settles with what it made. Its facts are printed as they come.
   *
   * @throws what `work` throws, after the step was written down as failed
   */
  async step<Result>(title: string, work: () => Promise<Result>): Promise<Result> {
    this.#begin(title);
    try {
      const result = await work();
      this.say(`${styled('green', '✔')} ${this.#proof}`);
      this.#rows.push([String(this.#number), this.#proof, 'ok']);
      return result;
    } catch (error) {
      this.#rows.push([String(this.#number), title, 'FAILED']);
      throw error;
    }
  }

  /** Writes down a step that cannot be taken here, and why. */
  skip(title: string, reason: string): void {
    this.#begin(title);
    this.say(styled('yellow', `not possible here: ${reason}`));
    this.#rows.push([String(this.#number), `${title}: ${reason}`, 'skipped']);
  }

  /** What the current step proves, for the table; without it, the step's title. */
  proves(text: string): void {
    this.#proof = text;
  }

  /** A fact belonging to the current step. */
  say(text: string): void {
    print(`   ${text}`);
  }

  /** A fact with a name. */
  fact(name: string, value: string): void {
    this.say(`${styled('dim', name.padEnd(22))} ${value}`);
  }

  /** The closing table. */
  conclude(): void {
    print();
    print(formatTable([['', 'shown', 'result'], ...this.#rows]));
  }

  #begin(title: string): void {
    this.#number++;
    this.#proof = title;
    print();
    print(styled('bold', `${String(this.#number)}. ${title}`));
  }
}

/**
 * One thing a step claims.
 *
 * @throws StepFailedError if it is not so
 */
export function check(claim: boolean, complaint: string): asserts claim {
  if (!claim) throw new StepFailedError(complaint);
}
