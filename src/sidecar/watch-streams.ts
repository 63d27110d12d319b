import type { ServerWritableStream } from '@grpc/grpc-js';
import { isDenial, ServiceError, toStatus } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import { callerOf, connectionOf, type FindConnection } from './caller-of.ts';
import type { Caller, CallerPolicy } from './callers.ts';

/** A stream that ends when its caller, or this process, goes. */
export interface WatchStream {
  start(): void;
  /** Says that there will be nothing more. */
  end(): void;
  /** The caller is gone. */
  close(): void;
}

export interface WatchServices {
  readonly connection: FindConnection;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
}

/** The streams of one kind that applications follow, a bounded number for each connection. */
export class WatchStreams<Stream extends WatchStream> implements Iterable<Stream> {
  readonly #services: WatchServices;
  readonly #maxPerConnection: number;
  readonly #streams = new Map<Stream, Connection<CallerPolicy>>();

  constructor(services: WatchServices, maxPerConnection: number) {
    this.#services = services;
    this.#maxPerConnection = maxPerConnection;
  }

  get size(): number {
    return this.#streams.size;
  }

  [Symbol.iterator](): Iterator<Stream> {
    return this.#streams.keys();
  }

  /** Serves a call by the stream that `make` makes for its caller, or refuses it. */
  serve<Request, Response>(
    call: ServerWritableStream<Request, Response>,
    make: (caller: Caller) => Stream,
  ): void {
    const { connection: find, isDraining, onDenied } = this.#services;
    try {
      const caller = callerOf(call, find);
      const connection = connectionOf(call, find);
      if (isDraining()) throw new ServiceError('UNAVAILABLE', 'draining', 'shutting down');
      this.#requireRoom(connection);
      const stream = make(caller);
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
  }

  /** Ends all, as they would never end by themselves. */
  endAll(): void {
    for (const stream of this) stream.end();
    this.#streams.clear();
  }

  #requireRoom(connection: Connection<CallerPolicy>): void {
    let open = 0;
    for (const its of this.#streams.values()) if (its === connection) open += 1;
    if (open < this.#maxPerConnection) return;
    throw new ServiceError(
      'RESOURCE_EXHAUSTED',
      'too_many_watches',
      `one connection watches at most ${String(this.#maxPerConnection)} times`,
    );
  }
}
