import type * as Grpc from '@grpc/grpc-js';
import type { PeerCertificate } from 'node:tls';
import { OffloadError, OffloadErrorCode } from '../errors.ts';
import type { Handshaker } from '../handshaker.ts';
import type { OffloadSocket } from '../offload-socket.ts';
import { OffloadServer, type ServerOptions } from '../server.ts';
import type { OffloadSettings } from '../settings.ts';

/** What is used of `@grpc/grpc-js`: of the copy the application has, as its classes are compared. */
export type GrpcServerModule = Pick<typeof Grpc, 'ServerCredentials' | 'ServerInterceptingCall'> & {
  readonly experimental: Pick<typeof Grpc.experimental, 'createServerCredentialsWithInterceptors'>;
};

export type GrpcServerOptions = Omit<ServerOptions, 'ALPNProtocols'>;

/** What is used of a `Server` of gRPC. */
export type GrpcServerLike = Pick<Grpc.Server, 'createConnectionInjector'>;

/**
 * A listener, yet to be told to listen, whose connections `server` serves: in the place of
 * `bindAsync`. Handlers see the peer as with gRPC's own TLS (`getPeer`, `getAuthContext`); whom it
 * proved to be is what {@link grpcPeer} knows, and in the metadata `sidekey-peer-identity`, where a
 * peer's own words are removed.
 */
export function createGrpcServer(
  grpc: GrpcServerModule,
  server: GrpcServerLike,
  options: GrpcServerOptions,
  settings: OffloadSettings,
  handshaker: Handshaker,
): OffloadServer {
  const interceptorFor = peerInterceptors(grpc);
  const handshake = { ...options, ALPNProtocols: ['h2'] };
  return new OffloadServer(handshake, settings, handshaker, (socket) => {
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy(
        new OffloadError(OffloadErrorCode.policy, 'client does not speak HTTP/2', {
          phase: 'handshake',
          handshakeId: socket.handshakeId,
        }),
      );
      return;
    }
    // One for each connection: that is how an interceptor knows whose calls it sees.
    const injector = server.createConnectionInjector(
      grpc.experimental.createServerCredentialsWithInterceptors(
        grpc.ServerCredentials.createInsecure(),
        [interceptorFor(socket)],
      ),
    );
    socket.once('close', () => {
      injector.destroy();
    });
    injector.injectConnection(socket);
  });
}

/** The connection a call came by, on a server of {@link createGrpcServer}. */
export function grpcPeer(call: { getAuthContext(): object }): OffloadSocket | undefined {
  return peers.get(call.getAuthContext());
}

/** Name of the metadata with the peer's SPIFFE ID or DNS name. */
export const grpcPeerIdentityKey = 'sidekey-peer-identity';

function peerInterceptors(
  grpc: GrpcServerModule,
): (socket: OffloadSocket) => Grpc.ServerInterceptor {
  class PeerCall extends grpc.ServerInterceptingCall {
    readonly #connection: Connection;

    constructor(
      next: ConstructorParameters<typeof Grpc.ServerInterceptingCall>[0],
      connection: Connection,
    ) {
      super(next, {
        start: (start) => {
          start({
            onReceiveMetadata: (metadata, pass) => {
              metadata.remove(grpcPeerIdentityKey);
              const { identity } = connection;
              if (identity !== undefined) metadata.set(grpcPeerIdentityKey, identity);
              pass(metadata);
            },
          });
        },
      });
      this.#connection = connection;
    }

    override getPeer(): string {
      return this.#connection.peer;
    }

    override getAuthContext(): AuthContext {
      return this.#connection.authContext;
    }

    override getConnectionInfo(): ReturnType<Grpc.ServerInterceptingCall['getConnectionInfo']> {
      return this.#connection.info;
    }
  }
  return (socket) => {
    const connection = connectionOf(socket);
    return (_method, call) => new PeerCall(call, connection);
  };
}

type AuthContext = ReturnType<Grpc.ServerInterceptingCall['getAuthContext']>;

/** What handlers may ask; taken down while the connection is there. */
interface Connection {
  readonly identity: string | undefined;
  readonly peer: string;
  readonly authContext: AuthContext;
  readonly info: ReturnType<Grpc.ServerInterceptingCall['getConnectionInfo']>;
}

function connectionOf(socket: OffloadSocket): Connection {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  // As gRPC's own: empty for a peer that proved nothing.
  const authContext: AuthContext = socket.authorized
    ? {
        transportSecurityType: 'ssl',
        get sslPeerCertificate() {
          // It was verified, so there is one.
          return socket.getPeerCertificate() as PeerCertificate;
        },
      }
    : {};
  peers.set(authContext, socket);
  return {
    identity: socket.peerIdentity,
    peer: remoteAddress === undefined ? 'unknown' : `${remoteAddress}:${String(remotePort)}`,
    authContext,
    info: { localAddress, localPort, remoteAddress, remotePort },
  };
}

const peers = new WeakMap<object, OffloadSocket>();
