/** Which time is over: for the whole handshake, for a start message, for the peer's next bytes. */
export type Deadline = 'handshake' | 'start' | 'peer';

/** The two deadlines of a stream: for the whole handshake, and for the next message. */
export class StreamTimer {
  readonly #expired: (deadline: Deadline) => void;
  #limit: NodeJS.Timeout | undefined;
  #wait: NodeJS.Timeout | undefined;

  constructor(expired: (deadline: Deadline) => void) {
    this.#expired = expired;
  }

  limit(delayMs: number): void {
    clearTimeout(this.#limit);
    this.#limit = setTimeout(this.#expired, delayMs, 'handshake');
  }

  unlimit(): void {
    clearTimeout(this.#limit);
  }

  wait(deadline: 'start' | 'peer', delayMs: number): void {
    clearTimeout(this.#wait);
    this.#wait = setTimeout(this.#expired, delayMs, deadline);
  }

  stopWaiting(): void {
    clearTimeout(this.#wait);
  }

  close(): void {
    clearTimeout(this.#limit);
    clearTimeout(this.#wait);
  }
}
