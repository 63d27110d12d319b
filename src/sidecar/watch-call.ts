import type { ServerWritableStream } from '@grpc/grpc-js';
import { ServiceError, toStatus } from '../rpc/errors.ts';

export interface WatcherTimes {
  readonly heartbeatMs: number;
  /** A reader that takes nothing for so long is cut off. */
  readonly patienceMs: number;
}

/**
 * The call of an application that follows something for as long as it wishes. However slow it reads, one
 * message at most waits for it: whoever writes looks at `isBlocked` first.
 */
export class WatchCall<Message> {
  readonly #call: ServerWritableStream<unknown, Message>;
  readonly #times: WatcherTimes;
  #heartbeat: NodeJS.Timeout | undefined;
  #blocked: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    call: ServerWritableStream<unknown, Message>,
    times: WatcherTimes = { heartbeatMs: 15_000, patienceMs: 60_000 },
  ) {
    this.#call = call;
    this.#times = times;
  }

  /** Nothing may be written now. */
  get isBlocked(): boolean {
    return this.#closed || this.#blocked !== undefined;
  }

  /** `onReady`: the reader has caught up. `onBeat`: it is time for a sign of life. Neither while blocked. */
  start(onReady: () => void, onBeat: () => void): void {
    this.#heartbeat = setInterval(() => {
      if (!this.isBlocked) onBeat();
    }, this.#times.heartbeatMs).unref();
    this.#call.on('drain', () => {
      clearTimeout(this.#blocked);
      this.#blocked = undefined;
      if (!this.#closed) onReady();
    });
  }

  write(message: Message): void {
    if (this.#call.write(message)) return;
    this.#blocked ??= setTimeout(() => {
      this.close();
      const error = new ServiceError('RESOURCE_EXHAUSTED', 'too_slow', 'the caller does not read');
      this.#call.emit('error', toStatus(error));
    }, this.#times.patienceMs).unref();
  }

  /** Says that there will be nothing more. */
  end(): void {
    this.close();
    this.#call.end();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#blocked);
    clearInterval(this.#heartbeat);
  }
}
