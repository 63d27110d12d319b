/** Lets so many run at once; the rest wait in the order they came. */
export class Limiter {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #head = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length - this.#head;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting[this.#head];
      if (next === undefined) this.#running -= 1;
      else {
        // Its place goes on to the next.
        this.#head += 1;
        if (this.#head > 1024) {
          this.#waiting.splice(0, this.#head);
          this.#head = 0;
        }
        next();
      }
    }
  }
}
