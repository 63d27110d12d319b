import { OffloadError, OffloadErrorCode } from './errors.ts';

/**
 * Bounds how many handshakes of one role run at once, first come, first served. Clients and servers
 * have one each: with a shared bound, a process that dials itself could wait for itself for ever.
 */
export class Admission {
  readonly #limit: number;
  readonly #queueLimit: number;
  #running = 0;
  readonly #queue = new Set<() => void>();

  constructor(limit: number, queueLimit: number) {
    this.#limit = limit;
    this.#queueLimit = queueLimit;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Waits for a place; the caller gives it back with {@link release}, exactly once. */
  acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < this.#limit) {
      this.#running += 1;
      return Promise.resolve();
    }
    if (this.#queue.size >= this.#queueLimit) {
      return Promise.reject(
        new OffloadError(
          OffloadErrorCode.overloaded,
          `${String(this.#running)} handshakes are running and ${String(this.#queue.size)} waiting in this process`,
          { phase: 'sidecar', reason: 'local_queue_full' },
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const admitted = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = (): void => {
        this.#queue.delete(admitted);
        // The reason is always an error of ours; see `HandshakeTask`.
        reject(signal.reason as Error);
      };
      this.#queue.add(admitted);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  release(): void {
    const [next] = this.#queue;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#queue.delete(next);
    next();
  }
}
