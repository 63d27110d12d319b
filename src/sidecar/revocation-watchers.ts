import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type {
  WatchRevocationsRequest,
  WatchRevocationsResponse,
} from '../gen/sidekey/v1/workload.ts';
import type { CredentialSource } from './credential-source.ts';
import type { IdentityStore } from './identities.ts';
import { allowedNames } from './identity-selection.ts';
import { RevocationStream } from './revocation-stream.ts';
import type { WatcherTimes } from './watch-call.ts';
import { type WatchServices, WatchStreams } from './watch-streams.ts';

export interface RevocationWatcherServices extends WatchServices {
  readonly identities: IdentityStore;
  readonly times?: WatcherTimes;
}

/** The applications that follow revocations. Each hears of the peers of those identities it may use. */
export class RevocationWatchers {
  readonly #services: RevocationWatcherServices;
  readonly #streams: WatchStreams<RevocationStream>;

  constructor(services: RevocationWatcherServices) {
    this.#services = services;
    this.#streams = new WatchStreams(services, maxStreamsPerConnection);
  }

  get size(): number {
    return this.#streams.size;
  }

  readonly watch: handleServerStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> = (
    call,
  ) => {
    const { identities, times } = this.#services;
    this.#streams.serve(call, (caller) => {
      const sources = sourcesOf(allowedNames(caller, identities), identities);
      return new RevocationStream(call, sources, times);
    });
  };

  endAll(): void {
    this.#streams.endAll();
  }
}

function sourcesOf(
  names: readonly string[],
  identities: IdentityStore,
): readonly CredentialSource[] {
  const sources = names.flatMap((name) => identities.enrolledEntry(name)?.source ?? []);
  return [...new Set(sources)];
}

/** A process needs one. */
const maxStreamsPerConnection = 4;
