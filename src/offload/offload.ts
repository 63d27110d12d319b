import { setTimeout as delay } from 'node:timers/promises';
import type { RequestListener, Server as HttpServer } from 'node:http';
import type { ClientHttp2Session, Http2SecureServer } from 'node:http2';
import type { Duplex } from 'node:stream';
import { connect, type ConnectOptions } from './connect.ts';
import { readEnvironment } from './environment.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';
import { GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';
import type * as Grpc from '@grpc/grpc-js';
import {
  createGrpcChannelCredentials,
  type GrpcChannelCredentialsOptions,
  type GrpcClientModule,
} from './adapters/grpc-channel-credentials.ts';
import {
  createGrpcServer,
  type GrpcServerLike,
  type GrpcServerModule,
  type GrpcServerOptions,
} from './adapters/grpc-server.ts';
import {
  createKafkaSocketFactory,
  type KafkaSocketFactory,
  type KafkaSocketFactoryOptions,
} from './adapters/kafka-socket-factory.ts';
import {
  createMqttStreamBuilder,
  type MqttStreamBuilder,
  type MqttStreamBuilderOptions,
} from './adapters/mqtt-stream-builder.ts';
import { PostgresStream, type PostgresStreamOptions } from './adapters/postgres-stream.ts';
import {
  createRedisConnector,
  type RedisConnectorHook,
  type RedisConnectorOptions,
} from './adapters/redis-connector.ts';
import {
  createSmtpGetSocket,
  type SmtpGetSocket,
  type SmtpGetSocketOptions,
} from './adapters/smtp-get-socket.ts';
import {
  connectHttp2,
  createHttp2Server,
  type Http2ConnectOptions,
  type Http2RequestListener,
  type Http2ServerOptions,
} from './adapters/http2.ts';
import { createHttpServer, type HttpServerOptions } from './adapters/http-server.ts';
import { OffloadHttpsAgent, type HttpsAgentOptions } from './adapters/https-agent.ts';
import type { IdentityList } from './identity-status.ts';
import { LivePeers, type RevokedPeer } from './live-peers.ts';
import type { OffloadSocket } from './offload-socket.ts';
import { RevocationWatch } from './revocation-watch.ts';
import { OffloadServer, type ServerOptions } from './server.ts';
import { type OffloadOptions, type OffloadSettings, resolveSettings } from './settings.ts';
import { SidecarHandshaker } from './sidecar-handshaker.ts';
import {
  createUndiciConnector,
  type UndiciConnector,
  type UndiciConnectorOptions,
} from './adapters/undici-connector.ts';
import { Workload } from './workload-client.ts';
import { wrap, type WrapOptions } from './wrap.ts';

/**
 * TLS whose handshakes one sidecar runs. Holds one connection to it, made at the first use; it does
 * not keep the process alive.
 *
 * @throws TypeError for options that make no sense
 */
export function createOffload(options: OffloadOptions = {}): Offload {
  return new Offload(resolveSettings(options, readEnvironment()));
}

export class Offload {
  /** Our identities: how they are, and their upkeep. */
  readonly workload: Workload;
  readonly #settings: OffloadSettings;
  readonly #channel: GrpcChannel;
  readonly #handshaker: SidecarHandshaker;
  readonly #revocations: RevocationWatch;
  readonly #livePeers: LivePeers;

  /** Use {@link createOffload}. */
  constructor(settings: OffloadSettings) {
    this.#settings = settings;
    this.#channel = new GrpcChannel(settings.address);
    const livePeers = new LivePeers();
    this.#livePeers = livePeers;
    this.#handshaker = new SidecarHandshaker(this.#channel, settings.token, settings, livePeers);
    this.#revocations = new RevocationWatch(this.#channel, settings.token, livePeers);
    this.workload = new Workload(this.#channel, settings.token);
  }

  /** As `tls.connect`; `onSecure` is called on `secureConnect`. */
  connect(options: ConnectOptions, onSecure?: () => void): OffloadSocket {
    const socket = connect(options, this.#settings, this.#handshaker);
    if (onSecure !== undefined) socket.once('secureConnect', onSecure);
    return socket;
  }

  /** As `tls.createServer`. */
  createServer(options: ServerOptions, onSecure?: (socket: OffloadSocket) => void): OffloadServer {
    return new OffloadServer(options, this.#settings, this.#handshaker, onSecure);
  }

  /** TLS over a connection that exists already; the role does not depend on who dialled it. */
  wrap(raw: Duplex, options: WrapOptions): OffloadSocket {
    return wrap(raw, options, this.#settings, this.#handshaker);
  }

  /** An `https.Agent` whose connections are ours. */
  httpsAgent(options: HttpsAgentOptions = {}): OffloadHttpsAgent {
    return new OffloadHttpsAgent(options, (connection) => this.connect(connection));
  }

  /** An `https.Server` whose connections are ours. */
  httpServer(options: HttpServerOptions, onRequest?: RequestListener): HttpServer {
    return createHttpServer(options, this.#settings, this.#handshaker, onRequest);
  }

  /** A secure HTTP/2 server, which also serves HTTP/1.1 unless told not to. */
  http2Server(options: Http2ServerOptions, onRequest?: Http2RequestListener): Http2SecureServer {
    return createHttp2Server(options, this.#settings, this.#handshaker, onRequest);
  }

  /** As `http2.connect`, for `https:` only. */
  http2Connect(authority: string | URL, options: Http2ConnectOptions = {}): ClientHttp2Session {
    return connectHttp2(authority, options, (connection) => this.connect(connection));
  }

  /** For the option `connect` of undici's `Agent`, `Pool` and `Client`. */
  undiciConnector(options: UndiciConnectorOptions = {}): UndiciConnector {
    return createUndiciConnector(options, (connection) => this.connect(connection));
  }

  /** `ChannelCredentials` for clients of gRPC; `grpc` is the application's own `@grpc/grpc-js`. */
  grpcChannelCredentials(
    grpc: GrpcClientModule,
    options: GrpcChannelCredentialsOptions = {},
  ): Grpc.ChannelCredentials {
    return createGrpcChannelCredentials(grpc, options, (connection) => this.connect(connection));
  }

  /**
   * A listener for a `Server` of gRPC, instead of its `bindAsync`; `grpc` is the application's own
   * `@grpc/grpc-js`.
   */
  grpcServer(
    grpc: GrpcServerModule,
    server: GrpcServerLike,
    options: GrpcServerOptions = {},
  ): OffloadServer {
    return createGrpcServer(grpc, server, options, this.#settings, this.#handshaker);
  }

  /** A stream for the option `stream` of `pg`, whose option `ssl` stays unset. */
  pgStream(options: PostgresStreamOptions = {}): PostgresStream {
    return new PostgresStream(options, this.#settings, this.#handshaker);
  }

  /** For the option `Connector` of `ioredis`. */
  redisConnector(options: RedisConnectorOptions = {}): RedisConnectorHook {
    return createRedisConnector(options, (connection) => this.connect(connection));
  }

  /** For the first argument of `new MqttClient` of `mqtt`. */
  mqttStreamBuilder(options: MqttStreamBuilderOptions = {}): MqttStreamBuilder {
    return createMqttStreamBuilder(options, (connection) => this.connect(connection));
  }

  /** For the option `socketFactory` of `kafkajs`. */
  kafkaSocketFactory(options: KafkaSocketFactoryOptions = {}): KafkaSocketFactory {
    return createKafkaSocketFactory(options, (connection) => this.connect(connection));
  }

  /** For the option `getSocket` of `nodemailer`. */
  smtpGetSocket(options: SmtpGetSocketOptions = {}): SmtpGetSocket {
    return createSmtpGetSocket(options, (connection) => this.connect(connection));
  }

  /** As {@link Workload.listIdentities}. */
  listIdentities(): Promise<IdentityList> {
    return this.workload.listIdentities();
  }

  /**
   * Resolves once the sidecar answers and our identity can sign: the one of option `identity`, or
   * any. Rejects after `timeoutMs` with what was wrong last.
   */
  async waitForSidecar(
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const { timeoutMs = 30_000, signal } = options;
    const deadline = performance.now() + timeoutMs;
    for (let pauseMs = 20; ; pauseMs = Math.min(500, pauseMs * 2)) {
      signal?.throwIfAborted();
      const problem = await this.#readiness();
      if (problem === undefined) return;
      if (performance.now() + pauseMs > deadline) throw problem;
      await delay(pauseMs, undefined, signal === undefined ? {} : { signal });
    }
  }

  /**
   * Has a function called for every peer of which the sidecar says that it is revoked, after the connections with it
   * were ended: once more for all of them whenever the sidecar begins anew. Heard of as long as there are connections.
   *
   * @returns ends it
   */
  onPeerRevoked(listener: (peer: RevokedPeer) => void): () => void {
    return this.#livePeers.onRevoked(listener);
  }

  /** Handshakes that run now, and that wait for their turn. */
  get load(): SidecarHandshaker['load'] {
    return this.#handshaker.load;
  }

  /**
   * Ends the connection to the sidecar. Handshakes under way fail; connections that are established
   * are not touched, and not ended any more when their peer is revoked. What is started later fails
   * too.
   */
  close(): Promise<void> {
    this.#revocations.close();
    this.#handshaker.close();
    return this.#channel.close();
  }

  async #readiness(): Promise<Error | undefined> {
    try {
      const { identities } = await this.listIdentities();
      const { identity } = this.#settings;
      const wanted = identities.filter(({ name }) => identity === undefined || name === identity);
      if (wanted.some(({ ready }) => ready)) return undefined;
      const problem = wanted.find((candidate) => candidate.problem !== undefined)?.problem;
      return new OffloadError(
        OffloadErrorCode.unavailable,
        `sidecar has no identity ready${problem === undefined ? '' : `: ${problem}`}`,
        { phase: 'sidecar', reason: 'identity_not_ready' },
      );
    } catch (error) {
      if (!(error instanceof OffloadError)) throw error;
      // A sidecar of another make has no such call; that it answered is all one can know.
      if (error.cause instanceof GrpcStatusError && error.cause.code === GrpcStatus.unimplemented) {
        return undefined;
      }
      if (error.code !== OffloadErrorCode.unavailable) throw error;
      return error;
    }
  }
}
