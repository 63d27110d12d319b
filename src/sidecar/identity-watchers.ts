import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type {
  WatchIdentitiesRequest,
  WatchIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { isDenial, ServiceError, toStatus } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import { callerOf, connectionOf, type FindConnection } from './caller-of.ts';
import type { CallerPolicy } from './callers.ts';
import { IdentityStream } from './identity-stream.ts';
import type { WatcherTimes } from './revocation-stream.ts';
import { type StatusServices, statusFor } from './workload.ts';

export interface IdentityWatcherServices extends StatusServices {
  readonly connection: FindConnection;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
  readonly times?: WatcherTimes;
}

/**
 * The applications that follow how their identities are: each its own, a bounded number of streams for
 * each connection.
 */
export class IdentityWatchers {
  readonly #services: IdentityWatcherServices;
  readonly #streams = new Map<IdentityStream, Connection<CallerPolicy>>();
  #noticed = false;

  constructor(services: IdentityWatcherServices) {
    this.#services = services;
  }

  get size(): number {
    return this.#streams.size;
  }

  readonly watch: handleServerStreamingCall<WatchIdentitiesRequest, WatchIdentitiesResponse> = (
    call,
  ) => {
    const { connection: find, onDenied, isDraining, times } = this.#services;
    try {
      const caller = callerOf(call, find);
      const connection = connectionOf(call, find);
      if (isDraining()) throw new ServiceError('UNAVAILABLE', 'draining', 'shutting down');
      this.#requireRoom(connection);
      const stream = new IdentityStream(call, () => statusFor(caller, this.#services), times);
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

  /** Something about identities may have changed. Looked at once for all that changes in one turn. */
  notice(): void {
    if (this.#noticed || this.#streams.size === 0) return;
    this.#noticed = true;
    setImmediate(() => {
      this.#noticed = false;
      for (const stream of this.#streams.keys()) stream.look();
    });
  }

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

/** A process needs one or two. */
const maxStreamsPerConnection = 8;
