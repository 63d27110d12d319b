import type { ServerWritableStream } from '@grpc/grpc-js';
import { equal } from '../bytes/bytes.ts';
import {
  ListIdentitiesResponse,
  type WatchIdentitiesRequest,
  type WatchIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import type { WatcherTimes } from './revocation-stream.ts';

/** A stream of WatchIdentities. */
export type IdentityWatchCall = ServerWritableStream<
  WatchIdentitiesRequest,
  WatchIdentitiesResponse
>;

/**
 * Tells one application how its identities are: at once, and whenever that has changed. However slow it
 * reads, one message at most waits for it; what it missed meanwhile is in the next.
 */
export class IdentityStream {
  readonly #call: IdentityWatchCall;
  readonly #status: () => ListIdentitiesResponse;
  readonly #times: WatcherTimes;
  #sent: Uint8Array | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #blocked: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    call: IdentityWatchCall,
    status: () => ListIdentitiesResponse,
    times: WatcherTimes = defaultTimes,
  ) {
    this.#call = call;
    this.#status = status;
    this.#times = times;
  }

  start(): void {
    this.#heartbeat = setInterval(() => {
      // Certificates expire and keys go away without a word.
      if (!this.look() && this.#blocked === undefined) this.#write({ identities: undefined });
    }, this.#times.heartbeatMs).unref();
    this.#call.on('drain', () => {
      clearTimeout(this.#blocked);
      this.#blocked = undefined;
      this.look();
    });
    this.look();
  }

  /** Sends how things are if that is news; answers whether it did. */
  look(): boolean {
    if (this.#closed || this.#blocked !== undefined) return false;
    const identities = this.#status();
    const encoded = ListIdentitiesResponse.encode(identities).finish();
    if (this.#sent !== undefined && equal(encoded, this.#sent)) return false;
    this.#sent = encoded;
    this.#write({ identities });
    return true;
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

  #write(message: WatchIdentitiesResponse): void {
    if (this.#call.write(message)) return;
    this.#blocked ??= setTimeout(() => {
      this.close();
      const error = new ServiceError('RESOURCE_EXHAUSTED', 'too_slow', 'the caller does not read');
      this.#call.emit('error', toStatus(error));
    }, this.#times.patienceMs).unref();
  }
}

const defaultTimes: WatcherTimes = { heartbeatMs: 15_000, patienceMs: 60_000 };
