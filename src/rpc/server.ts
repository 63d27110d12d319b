import { Server, ServerCredentials, type ServerInterceptor } from '@grpc/grpc-js';
import type { Http2Server, ServerHttp2Session } from 'node:http2';
import { createServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ListenAddress } from './address.ts';
import { guardHttp2, latestHttp2Server } from './http2-guard.ts';
import { listen, type Listening, type SocketAccess } from './listen.ts';
import type { PeerCredentials, PeerCredentialsReader } from './peer-credentials.ts';
import { RateBudget } from './rate-budget.ts';
import { localPatience, type Patience, remotePatience, watchClient } from './sign-of-life.ts';

/** What is known about whoever opened a connection. */
export interface Connection<Listener> {
  readonly id: string;
  /** The configuration entry of the listener it came in through. */
  readonly listener: Listener;
  /** Absent on TCP, and where the platform cannot tell. */
  readonly credentials: PeerCredentials | undefined;
  /** The client was asked to take another connection: streams on this one should come to an end. */
  readonly isRetiring: boolean;
  /** A stream ended that its client had not ended: HTTP/2 makes the client reset it. */
  streamReset(): void;
}

/** One place to listen on. */
export interface ListenerOptions<Listener> {
  readonly address: ListenAddress;
  readonly access: SocketAccess;
  readonly listener: Listener;
  /** Close connections at once whose peer cannot be identified by the kernel. */
  readonly requireCredentials: boolean;
  readonly onRefused: (reason: string) => void;
}

/** Bounds of a gRPC server. */
export interface RpcServerOptions {
  readonly maxReceiveBytes: number;
  /** Absent: as much as may be received. */
  readonly maxSendBytes?: number;
  /** Open at once on each listener; further ones are closed at once. */
  readonly maxConnections: number;
  readonly maxStreamsPerConnection: number;
  readonly readCredentials: PeerCredentialsReader;
  readonly now: () => Date;
  /** With clients that fell silent; absent: five seconds on this host, twenty from elsewhere. */
  readonly patience?: Patience;
  readonly interceptors?: readonly ServerInterceptor[];
}

/**
 * A gRPC server that knows through which listener, and from whom, each connection came: sockets are
 * accepted here, judged, and then given to gRPC.
 */
export class RpcServer<Listener> {
  readonly grpc: Server;
  readonly #options: RpcServerOptions;
  readonly #connections = new Map<string, Connection<Listener>>();
  readonly #sockets = new Set<Duplex>();
  readonly #listening: Listening[] = [];
  #nextId = 0;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.grpc = new Server({
      'grpc.max_receive_message_length': options.maxReceiveBytes,
      'grpc.max_send_message_length': options.maxSendBytes ?? options.maxReceiveBytes,
      'grpc.max_concurrent_streams': options.maxStreamsPerConnection,
      'grpc.enable_channelz': 0,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      // grpc-js lifts Node's own limit unless told; one peer could then pin memory without end.
      'grpc-node.max_session_memory': 32,
      ...(options.interceptors === undefined ? {} : { interceptors: [...options.interceptors] }),
    });
  }

  /** The connection a call came in on, by `call.getPeer()`. */
  connection(peer: string): Connection<Listener> | undefined {
    return this.#connections.get(peer);
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Starts accepting. Throws `ListenError`. */
  async listen(options: ListenerOptions<Listener>): Promise<ListenAddress> {
    const server = createServer({ noDelay: true }, (socket) => {
      this.#accept(socket, options);
    });
    server.maxConnections = this.#options.maxConnections;
    server.on('drop', () => {
      options.onRefused('too many connections');
    });
    const listening = await listen(server, options.address, options.access);
    this.#listening.push(listening);
    return listening.address;
  }

  /** Stops accepting connections; those that exist go on. */
  async stopListening(): Promise<void> {
    await Promise.all(this.#listening.splice(0).map((one) => one.close()));
  }

  /** Ends everything now. */
  destroy(): void {
    this.grpc.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Serves a connection that was accepted elsewhere. `listener` says what is known of whoever is at
   * the other end.
   */
  inject(stream: Duplex, listener: Listener, onRefused: (reason: string) => void): void {
    stream.on('error', () => stream.destroy());
    const id = this.#newId();
    this.#serve(stream, { id, listener, credentials: undefined, onRefused });
  }

  #accept(socket: Socket, options: ListenerOptions<Listener>): void {
    // Before gRPC adds its own listener, an error must not be thrown at the process.
    socket.on('error', () => socket.destroy());
    const credentials =
      options.address.kind === 'unix' ? this.#options.readCredentials(socket) : undefined;
    if (credentials === undefined && options.requireCredentials) {
      options.onRefused('peer credentials are not available');
      socket.destroy();
      return;
    }
    const id = this.#newId();
    // The address is the one thing gRPC hands from the socket to the call; without a port beside
    // it, `getPeer()` returns it as it is. http2 hides the socket itself behind a proxy.
    Object.defineProperty(socket, 'remoteAddress', { value: id });
    Object.defineProperty(socket, 'remotePort', { value: undefined });
    this.#serve(socket, { id, credentials, ...options });
  }

  #newId(): string {
    return `connection-${String((this.#nextId += 1))}`;
  }

  #serve(
    stream: Duplex,
    { id, listener, credentials, onRefused }: ServedConnection<Listener>,
  ): void {
    // An injector of its own makes it possible to end one connection gracefully.
    const injector = this.grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const http2 = latestHttp2Server(this.grpc);
    guardHttp2(http2, { now: this.#options.now, onClosed: onRefused });
    const usual = credentials === undefined ? remotePatience : localPatience;
    http2.once('session', (session: ServerHttp2Session) => {
      watchClient(session, this.#options.patience ?? usual);
    });
    if (!(stream instanceof Socket)) nameSocketOf(http2, id);
    this.#connections.set(
      id,
      new AcceptedConnection({
        id,
        listener,
        credentials,
        now: this.#options.now,
        retire: () => {
          injector.drain(retireGraceMs);
        },
      }),
    );
    this.#sockets.add(stream);
    stream.once('close', () => {
      this.#connections.delete(id);
      this.#sockets.delete(stream);
      injector.destroy();
    });
    injector.injectConnection(stream);
  }
}

interface ServedConnection<Listener> {
  readonly id: string;
  readonly listener: Listener;
  readonly credentials: PeerCredentials | undefined;
  readonly onRefused: (reason: string) => void;
}

/**
 * Around a stream that is no socket, http2 makes one of its own, without an address. It shows itself
 * only as what its methods return.
 */
function nameSocketOf(http2: Http2Server, id: string): void {
  http2.once('session', (session: ServerHttp2Session) => {
    const socket = session.socket.setMaxListeners(session.socket.getMaxListeners());
    Object.defineProperty(socket, 'remoteAddress', { value: id });
    Object.defineProperty(socket, 'remotePort', { value: undefined });
  });
}

/**
 * Node's HTTP/2 ends a connection with an error, and everything on it, when a client resets more
 * streams than a burst of 1000 and then 33 per second: its answer to CVE-2023-44487. Clients of a
 * protocol in which the server ends each stream reset every one of them, as HTTP/2 asks. Before the
 * limit is reached, such a connection is therefore retired: its client is told to open another, and
 * what runs on it is finished.
 */
class AcceptedConnection<Listener> implements Connection<Listener> {
  readonly id: string;
  readonly listener: Listener;
  readonly credentials: PeerCredentials | undefined;
  readonly #resets: RateBudget;
  readonly #retire: () => void;
  #retiring = false;

  constructor(options: {
    readonly id: string;
    readonly listener: Listener;
    readonly credentials: PeerCredentials | undefined;
    readonly now: () => Date;
    readonly retire: () => void;
  }) {
    this.id = options.id;
    this.listener = options.listener;
    this.credentials = options.credentials;
    this.#retire = options.retire;
    this.#resets = new RateBudget(resetBudget, options.now);
  }

  get isRetiring(): boolean {
    return this.#retiring;
  }

  streamReset(): void {
    this.#resets.spend();
    if (this.#retiring || this.#resets.available) return;
    this.#retiring = true;
    this.#retire();
  }
}

/** Well below what Node allows: streams that are open when the budget is spent are reset, too. */
const resetBudget = { burst: 400, perSecond: 25 };
/** Longer than any handshake. */
const retireGraceMs = 150_000;
