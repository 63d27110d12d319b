import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type {
  WatchRevocationsRequest,
  WatchRevocationsResponse,
} from '../gen/sidekey/v1/workload.ts';
import { isDenial, ServiceError, toStatus } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import { callerOf, connectionOf, type FindConnection } from './caller-of.ts';
import type { CallerPolicy } from './callers.ts';
import type { CredentialSource } from './credential-source.ts';
import type { IdentityStore } from './identities.ts';
import { allowedNames } from './identity-selection.ts';
import { RevocationStream, type WatcherTimes } from './revocation-stream.ts';

export interface WatcherServices {
  readonly identities: IdentityStore;
  readonly connection: FindConnection;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
  readonly times?: WatcherTimes;
}

/**
 * The applications that follow revocations. Each hears of the peers of those identities it may use, a
 * bounded number of streams for each connection.
 */
export class RevocationWatchers {
  readonly #services: WatcherServices;
  readonly #streams = new Map<RevocationStream, Connection<CallerPolicy>>();

  constructor(services: WatcherServices) {
    this.#services = services;
  }

  get size(): number {
    return this.#streams.size;
  }

  readonly watch: handleServerStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> = (
    call,
  ) => {
    const { connection: find, identities, onDenied, isDraining, times } = this.#services;
    try {
      const caller = callerOf(call, find);
      const connection = connectionOf(call, find);
      if (isDraining()) throw new ServiceError('UNAVAILABLE', 'draining', 'shutting down');
      this.#requireRoom(connection);
      const sources = sourcesOf(allowedNames(caller, identities), identities);
      const stream = new RevocationStream(call, sources, times);
      this.#streams.set(stream, connection);
      // gRPC says so at the end of every stream, however it ended.
      call.once('cancelled', () => {
        this.#streams.delete(stream);
        stream.close();
      });
      stream.start();
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (isDenial(error)) onDenied(error);
      call.emit('error', toStatus(error));
    }
  };

  /** Ends all, as they would never end by themselves. */
  endAll(): void {
    for (const stream of this.#streams.keys()) stream.end();
    this.#streams.clear();
  }

  #requireRoom(connection: Connection<CallerPolicy>): void {
    let open = 0;
    for (const its of this.#streams.values()) if (its === connection) open += 1;
    if (open < maxStreamsPerConnection) return;
    throw new ServiceError(
      'RESOURCE_EXHAUSTED',
      'too_many_watches',
      `one connection watches at most ${String(maxStreamsPerConnection)} times`,
    );
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
