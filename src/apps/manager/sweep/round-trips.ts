/** The last few thousand round trips, for percentiles. */
export class RoundTrips {
  readonly #recent = new Float64Array(capacity);
  #count = 0;

  add(milliseconds: number): void {
    this.#recent[this.#count % capacity] = milliseconds;
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  /** `undefined`: there was none. */
  percentile(fraction: number): number | undefined {
    const size = Math.min(this.#count, capacity);
    if (size === 0) return undefined;
    const sorted = this.#recent.slice(0, size).sort();
    return sorted[Math.min(size - 1, Math.floor(fraction * size))];
  }
}

const capacity = 10_000;
