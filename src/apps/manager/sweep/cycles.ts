/** Heartbeats as sweeps over the fleet, one in each interval, although they are spread over it. */
export class Cycles {
  readonly #intervalMs: number;
  #startedAt: number;
  #answeredAt: number;
  #last: { readonly startedAt: number; readonly durationMs: number } | undefined;

  constructor(intervalMs: number, now: Date) {
    this.#intervalMs = intervalMs;
    this.#startedAt = now.getTime();
    this.#answeredAt = this.#startedAt;
  }

  /** The last one that is over; nothing in it: there was none. */
  get last(): {
    readonly lastStartedAt: Date | undefined;
    readonly lastDurationMs: number | undefined;
  } {
    return {
      lastStartedAt: this.#last === undefined ? undefined : new Date(this.#last.startedAt),
      lastDurationMs: this.#last?.durationMs,
    };
  }

  /** A heartbeat was answered. */
  answered(now: Date): void {
    const moment = now.getTime();
    if (moment - this.#startedAt >= this.#intervalMs) {
      const durationMs = Math.max(0, this.#answeredAt - this.#startedAt);
      this.#last = { startedAt: this.#startedAt, durationMs };
      this.#startedAt = moment;
    }
    this.#answeredAt = moment;
  }
}
