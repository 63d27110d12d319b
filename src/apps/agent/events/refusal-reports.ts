import type { Surroundings } from '../surroundings.ts';
import type { EventSink } from './event-spool.ts';

/**
 * Events of peers that were not let in: the first at once, those of the following minute as one number. Whoever knocks
 * again and again cannot push other events out.
 */
export class RefusalReports {
  readonly #events: EventSink;
  readonly #surroundings: Surroundings;
  #waiting = 0;
  #quiet = false;

  constructor(events: EventSink, surroundings: Surroundings) {
    this.#events = events;
    this.#surroundings = surroundings;
  }

  add(from: string, problem: string): void {
    if (this.#quiet) {
      this.#waiting += 1;
      return;
    }
    this.#events.add('connection_refused', `${from} was refused: ${problem}`, { from, problem });
    this.#beQuiet();
  }

  #beQuiet(): void {
    this.#quiet = true;
    this.#surroundings.timers.after(quietMs, () => {
      this.#quiet = false;
      const count = this.#waiting;
      this.#waiting = 0;
      if (count === 0) return;
      this.#events.add('connection_refused', `${String(count)} more were refused`, { count });
      this.#beQuiet();
    });
  }
}

const quietMs = 60_000;
