/** Somebody that wants a snapshot. */
export interface SnapshotTaker {
  /** Begins; `release` is called once, when it is done. */
  takeSnapshot(release: () => void): void;
}

/**
 * Lets so many have a snapshot under way at a time, in the order in which they came: after an outage
 * all hosts come at once, and what is on its way to each of them is memory.
 */
export class SnapshotSlots {
  #free: number;
  readonly #waiting = new Set<SnapshotTaker>();

  constructor(slots: number) {
    this.#free = slots;
  }

  /** Those that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Calls `takeSnapshot` soon, never within this call, or when a slot becomes free. */
  request(taker: SnapshotTaker): void {
    this.#waiting.add(taker);
    queueMicrotask(() => {
      this.#give();
    });
  }

  /** It does not wait any more. */
  forget(taker: SnapshotTaker): void {
    this.#waiting.delete(taker);
  }

  #give(): void {
    while (this.#free > 0) {
      const [taker] = this.#waiting;
      if (taker === undefined) return;
      this.#waiting.delete(taker);
      this.#free -= 1;
      let released = false;
      taker.takeSnapshot(() => {
        if (released) return;
        released = true;
        this.#free += 1;
        queueMicrotask(() => {
          this.#give();
        });
      });
    }
  }
}
