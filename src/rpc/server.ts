import { Server, ServerCredentials, type ServerInterceptor } from '@grpc/grpc-js';
import { createServer, type Socket } from 'node:net';
import type { ListenAddress } from './address.ts';
import { listen, type Listening, type SocketAccess } from './listen.ts';
import type { PeerCredentials, PeerCredentialsReader } from './peer-credentials.ts';

/** What is known about whoever opened a connection. */
export interface Connection<Listener> {
  readonly id: string;
  /** The configuration entry of the listener it came in through. */
  readonly listener: Listener;
  /** Absent on TCP, and where the platform cannot tell. */
  readonly credentials: PeerCredentials | undefined;
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
  readonly maxStreamsPerConnection: number;
  readonly readCredentials: PeerCredentialsReader;
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
  readonly #sockets = new Set<Socket>();
  readonly #listening: Listening[] = [];
  #nextId = 0;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.grpc = new Server({
      'grpc.max_receive_message_length': options.maxReceiveBytes,
      'grpc.max_send_message_length': options.maxReceiveBytes,
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
    const injector = this.grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const server = createServer({ noDelay: true }, (socket) => {
      if (this.#admit(socket, options)) injector.injectConnection(socket);
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

  #admit(socket: Socket, options: ListenerOptions<Listener>): boolean {
    // Before gRPC adds its own listener, an error must not be thrown at the process.
    socket.on('error', () => socket.destroy());
    const credentials =
      options.address.kind === 'unix' ? this.#options.readCredentials(socket) : undefined;
    if (credentials === undefined && options.requireCredentials) {
      options.onRefused('peer credentials are not available');
      socket.destroy();
      return false;
    }
    const id = `connection-${String((this.#nextId += 1))}`;
    // The address is the one thing gRPC hands from the socket to the call; without a port beside
    // it, `getPeer()` returns it as it is. http2 hides the socket itself behind a proxy.
    Object.defineProperty(socket, 'remoteAddress', { value: id });
    Object.defineProperty(socket, 'remotePort', { value: undefined });
    this.#connections.set(id, { id, listener: options.listener, credentials });
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#connections.delete(id);
      this.#sockets.delete(socket);
    });
    return true;
  }
}
