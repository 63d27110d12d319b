/**
 * Things that are due at some time, in any number, with one timer. The earliest comes first; what was set again is
 * due only at the later time it was set to.
 */
export class Schedule<T> {
  readonly #onDue: (item: T) => void;
  readonly #heap: Entry<T>[] = [];
  readonly #due = new Map<T, number>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #closed = false;

  constructor(onDue: (item: T) => void) {
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#due.size;
  }

  /** `afterMs` from now, whatever was set before. */
  set(item: T, afterMs: number): void {
    if (this.#closed) return;
    const at = performance.now() + afterMs;
    this.#due.set(item, at);
    this.#push({ item, at });
    this.#arm();
  }

  delete(item: T): void {
    this.#due.delete(item);
  }

  has(item: T): boolean {
    return this.#due.has(item);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#due.clear();
    this.#heap.length = 0;
  }

  #run(): void {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    const now = performance.now();
    for (let [first] = this.#heap; first !== undefined && first.at <= now; [first] = this.#heap) {
      this.#pop();
      // Others of the same item are left over from before.
      if (this.#due.get(first.item) !== first.at) continue;
      this.#due.delete(first.item);
      this.#onDue(first.item);
    }
    this.#arm();
  }

  #arm(): void {
    const [first] = this.#heap;
    if (first === undefined || first.at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = first.at;
    const delayMs = Math.max(0, Math.min(first.at - performance.now(), maxTimerMs));
    this.#timer = setTimeout(() => {
      this.#run();
    }, Math.ceil(delayMs)).unref();
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= entry.at) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const child = right !== undefined && left !== undefined && right.at < left.at ? right : left;
      if (child === undefined || child.at >= last.at) break;
      heap[at] = child;
      at = child === left ? 2 * at + 1 : 2 * at + 2;
    }
    heap[at] = last;
  }
}

interface Entry<T> {
  readonly item: T;
  readonly at: number;
}

/** What `setTimeout` takes. */
const maxTimerMs = 2 ** 31 - 1;
