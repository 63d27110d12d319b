/** A sweep that is over. */
export interface Cycle {
  readonly startedAt: Date;
  /** Until its last heartbeat was answered. */
  readonly durationMs: number;
  /** Round trips: half of them, and 99 of 100, took no longer. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Heartbeats as sweeps over the fleet, one in each interval, although they are spread over it. */
export class Cycles {
  readonly #intervalMs: number;
  #startedAt: number;
  #answeredAt: number;
  #roundTripsMs: number[] = [];
  #last: Cycle | undefined;

  constructor(intervalMs: number, now: Date) {
    this.#intervalMs = intervalMs;
    this.#startedAt = now.getTime();
    this.#answeredAt = this.#startedAt;
  }

  /** The last one that is over and had an answer; absent: there was none. */
  get last(): Cycle | undefined {
    return this.#last;
  }

  /** A heartbeat was answered. */
  answered(now: Date, roundTripMs: number): void {
    const moment = now.getTime();
    if (moment - this.#startedAt >= this.#intervalMs) {
      this.#last = this.#ended() ?? this.#last;
      this.#startedAt = moment;
      this.#roundTripsMs = [];
    }
    this.#answeredAt = moment;
    this.#roundTripsMs.push(roundTripMs);
  }

  #ended(): Cycle | undefined {
    const sorted = Float64Array.from(this.#roundTripsMs).sort();
    const most = sorted.at(-1);
    if (most === undefined) return undefined;
    const percentile = (fraction: number): number =>
      sorted[Math.floor(fraction * sorted.length)] ?? most;
    return {
      startedAt: new Date(this.#startedAt),
      durationMs: Math.max(0, this.#answeredAt - this.#startedAt),
      p50Ms: percentile(0.5),
      p99Ms: percentile(0.99),
    };
  }
}
