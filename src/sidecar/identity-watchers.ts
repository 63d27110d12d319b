import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type {
  WatchIdentitiesRequest,
  WatchIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { IdentityStream } from './identity-stream.ts';
import type { WatcherTimes } from './watch-call.ts';
import { type WatchServices, WatchStreams } from './watch-streams.ts';
import { type StatusServices, statusFor } from './workload.ts';

export interface IdentityWatcherServices extends StatusServices, WatchServices {
  readonly times?: WatcherTimes;
}

/** The applications that follow how their identities are: each its own. */
export class IdentityWatchers {
  readonly #services: IdentityWatcherServices;
  readonly #streams: WatchStreams<IdentityStream>;
  #noticed = false;

  constructor(services: IdentityWatcherServices) {
    this.#services = services;
    this.#streams = new WatchStreams(services, maxStreamsPerConnection);
  }

  get size(): number {
    return this.#streams.size;
  }

  readonly watch: handleServerStreamingCall<WatchIdentitiesRequest, WatchIdentitiesResponse> = (
    call,
  ) => {
    this.#streams.serve(
      call,
      (caller) =>
        new IdentityStream(call, () => statusFor(caller, this.#services), this.#services.times),
    );
  };

  /** Something about identities may have changed. Looked at once for all that changes in one turn. */
  notice(): void {
    if (this.#noticed || this.size === 0) return;
    this.#noticed = true;
    setImmediate(() => {
      this.#noticed = false;
      for (const stream of this.#streams) stream.look();
    });
  }

  endAll(): void {
    this.#streams.endAll();
  }
}

/** A process needs one or two. */
const maxStreamsPerConnection = 8;
