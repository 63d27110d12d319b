import type { Socket } from 'node:net';
import type * as Grpc from '@grpc/grpc-js';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import { asError, codeOf, OffloadError, OffloadErrorCode } from '../errors.ts';
import type { OffloadSocket } from '../offload-socket.ts';

/** What is used of `@grpc/grpc-js`: of the copy the application has, as its classes are compared. */
export type GrpcClientModule = Pick<typeof Grpc, 'CallCredentials' | 'ChannelCredentials'>;

export type GrpcChannelCredentialsOptions = Omit<ClientOptions, 'ALPNProtocols'>;

/** `ChannelCredentials` of gRPC by which a channel's connections are ours. */
export function createGrpcChannelCredentials(
  grpc: GrpcClientModule,
  options: GrpcChannelCredentialsOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): Grpc.ChannelCredentials {
  const client = clientOptionsOf(options);
  class OffloadChannelCredentials extends grpc.ChannelCredentials {
    /** Bearer tokens may be sent. */
    override _isSecure(): boolean {
      return true;
    }

    /** Equal ones share connections: ours are for one identity and one set of wishes. */
    override _equals(other: Grpc.ChannelCredentials): boolean {
      return this === other;
    }

    override _createSecureConnector(
      target: Grpc.experimental.GrpcUri,
      channelOptions: Grpc.ChannelOptions,
      callCredentials?: Grpc.CallCredentials,
    ): Grpc.experimental.SecureConnector {
      const credentials = callCredentials ?? grpc.CallCredentials.createEmpty();
      const host = nameOf(target, channelOptions);
      return {
        connect: async (socket) => {
          const secure = await openHttp2({ host, ...client, socket }, open);
          // It has the members of a socket that gRPC uses; the class itself is not looked at.
          return { socket: secure as unknown as Socket, secure: true };
        },
        waitForReady: () => Promise.resolve(),
        getCallCredentials: () => credentials,
        destroy: () => undefined,
      };
    }
  }
  return new OffloadChannelCredentials();
}

/** gRPC shows no more of an error than its text, so the code is put there. */
function openHttp2(
  options: ConnectOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): Promise<OffloadSocket> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      const code = codeOf(error);
      reject(
        new Error(code === undefined ? error.message : `${code}: ${error.message}`, {
          cause: error,
        }),
      );
    };
    try {
      const socket = open({ ...options, ALPNProtocols: ['h2'] });
      socket.once('error', failed);
      socket.once('secureConnect', () => {
        if (socket.alpnProtocol === 'h2') {
          socket.off('error', failed);
          resolve(socket);
        } else socket.destroy(notHttp2(socket.handshakeId));
      });
    } catch (error) {
      failed(asError(error));
    }
  });
}

function notHttp2(handshakeId: string | undefined): OffloadError {
  return new OffloadError(OffloadErrorCode.policy, 'server does not speak HTTP/2', {
    phase: 'handshake',
    handshakeId,
  });
}

/** The name gRPC would verify: of the channel's target, unless its options say otherwise. */
function nameOf(target: Grpc.experimental.GrpcUri, options: Grpc.ChannelOptions): string {
  const override = options['grpc.ssl_target_name_override'];
  if (override !== undefined) return override;
  const proxied = options['grpc.http_connect_target'];
  if (proxied !== undefined)
    return hostOf(proxied.replace(/^[a-z][a-z0-9+.-]*:(\/\/[^/]*\/)?/i, ''));
  const { scheme = 'dns', path } = target;
  return scheme.startsWith('unix') ? 'localhost' : hostOf(path);
}

/** `HOST:PORT,…`, `[ADDRESS]:PORT`, or either without a port. */
function hostOf(authority: string): string {
  const [first = ''] = authority.split(',');
  const match = /^\[([^\]]*)\](?::\d+)?$|^([^:]*)(?::\d+)?$/.exec(first);
  return match?.[1] ?? match?.[2] ?? first;
}
