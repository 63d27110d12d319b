import type { handleBidiStreamingCall, ServiceDefinition } from '@grpc/grpc-js';
import { S2AServiceService } from '../gen/s2a/proto/s2a.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import type { CallerPolicy } from './callers.ts';
import { SessionStream, type StreamServices } from './stream.ts';

/**
 * SetUpSession with messages as bytes: decoding and encoding are done by the stream, which can then
 * say what is wrong with a message, and wipe what it encoded.
 */
export const handshakeService = {
  setUpSession: {
    ...S2AServiceService.setUpSession,
    requestDeserialize: (bytes: Buffer): Buffer => bytes,
    responseSerialize: (bytes: Buffer): Buffer => bytes,
  },
} satisfies ServiceDefinition;

/** The handshake service: who is on the other end of each stream, and which streams are open. */
export class HandshakeService {
  readonly #services: StreamServices;
  readonly #connection: (peer: string) => Connection<CallerPolicy> | undefined;
  readonly #streams = new Map<SessionStream, Connection<CallerPolicy>>();
  #onIdle: (() => void) | undefined;

  /** `connection` finds the connection of a call by what gRPC calls its peer. */
  constructor(
    services: StreamServices,
    connection: (peer: string) => Connection<CallerPolicy> | undefined,
  ) {
    this.#services = services;
    this.#connection = connection;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Ends the streams callers keep for later. */
  endKeptStreams(): void {
    for (const stream of this.#streams.keys()) stream.endIfKept();
  }

  /** Resolves when no stream is open, or the time is over. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#streams.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly setUpSession: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const connection = this.#connection(call.getPeer());
    if (connection === undefined) {
      call.emit(
        'error',
        toStatus(new ServiceError('UNAUTHENTICATED', 'caller_unknown', 'caller is not known')),
      );
      return;
    }
    const stream = new SessionStream(call, this.#services, {
      identify: (tokens) => connection.listener.identify(connection.credentials, tokens),
      isRetiring: () => connection.isRetiring,
      onClosed: (byCaller) => {
        if (!byCaller) connection.streamReset();
        if (connection.isRetiring) this.#endKeptStreamsOf(connection);
        this.#streams.delete(stream);
        if (this.#streams.size === 0) this.#onIdle?.();
      },
    });
    this.#streams.set(stream, connection);
  };

  #endKeptStreamsOf(connection: Connection<CallerPolicy>): void {
    for (const [stream, its] of this.#streams) if (its === connection) stream.endIfKept();
  }
}
