import type { ServerWritableStream } from '@grpc/grpc-js';
import { equal } from '../bytes/bytes.ts';
import {
  ListIdentitiesResponse,
  type WatchIdentitiesRequest,
  type WatchIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { WatchCall, type WatcherTimes } from './watch-call.ts';
import type { WatchStream } from './watch-streams.ts';

/**
 * Tells one application how its identities are: at once, and whenever that has changed. What it missed
 * while it did not read is in the next message.
 */
export class IdentityStream implements WatchStream {
  readonly #call: WatchCall<WatchIdentitiesResponse>;
  readonly #status: () => ListIdentitiesResponse;
  #sent: Uint8Array | undefined;

  constructor(
    call: ServerWritableStream<WatchIdentitiesRequest, WatchIdentitiesResponse>,
    status: () => ListIdentitiesResponse,
    times?: WatcherTimes,
  ) {
    this.#call = new WatchCall(call, times);
    this.#status = status;
  }

  start(): void {
    this.#call.start(
      () => this.look(),
      () => {
        // Certificates expire and keys go away without a word.
        if (!this.look()) this.#call.write({ identities: undefined });
      },
    );
    this.look();
  }

  /** Sends how things are if that is news; answers whether it did. */
  look(): boolean {
    if (this.#call.isBlocked) return false;
    const identities = this.#status();
    const encoded = ListIdentitiesResponse.encode(identities).finish();
    if (this.#sent !== undefined && equal(encoded, this.#sent)) return false;
    this.#sent = encoded;
    this.#call.write({ identities });
    return true;
  }

  end(): void {
    this.#call.end();
  }

  close(): void {
    this.#call.close();
  }
}
