/** So many requests are worked on at once, over all connections. */
export class RequestGate {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a place, and answers how to give it back; `undefined`: there is none. */
  enter(): (() => void) | undefined {
    if (this.#running >= this.#max) return undefined;
    this.#running += 1;
    let inside = true;
    return () => {
      if (inside) this.#running -= 1;
      inside = false;
    };
  }
}
