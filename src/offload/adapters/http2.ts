import {
  type ClientHttp2Session,
  type ClientSessionOptions,
  connect,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerOptions as Http2Options,
} from 'node:http2';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import { refuseForeignOptions } from '../connection-options.ts';
import { OffloadError, OffloadErrorCode } from '../errors.ts';
import type { Handshaker } from '../handshaker.ts';
import type { OffloadSocket } from '../offload-socket.ts';
import { SecureSockets, type ServerHandshakeOptions, withoutHandshakeOptions } from '../server.ts';
import type { OffloadSettings } from '../settings.ts';
import { takeOverConnections } from '../take-over.ts';
import { showConnection } from './http2-session-socket.ts';

export type Http2RequestListener = (
  request: Http2ServerRequest,
  response: Http2ServerResponse,
) => void;

export type Http2ServerOptions = Http2Options &
  ServerHandshakeOptions & {
    /** Serve HTTP/1.1 to clients that do not offer HTTP/2. Default: true. */
    readonly allowHTTP1?: boolean | undefined;
  };

export type Http2ConnectOptions = Omit<ClientSessionOptions, 'createConnection' | 'protocol'> &
  ClientOptions;

/** A secure HTTP/2 server of Node's without keys. */
export function createHttp2Server(
  options: Http2ServerOptions,
  settings: OffloadSettings,
  handshaker: Handshaker,
  onRequest?: Http2RequestListener,
): Http2SecureServer {
  refuseForeignOptions(options);
  const { allowHTTP1 = true, ALPNProtocols } = options;
  const server = createSecureServer({ ...withoutHandshakeOptions(options), allowHTTP1 }, onRequest);
  const handshake = {
    ...options,
    ALPNProtocols: ALPNProtocols ?? (allowHTTP1 ? ['h2', 'http/1.1'] : ['h2']),
    allowHalfOpen: true,
  };
  takeOverConnections(server, new SecureSockets(handshake, settings, handshaker));
  showConnections(server);
  return server;
}

/** `http2.connect` over a connection of ours, to a server that speaks HTTP/2. */
export function connectHttp2(
  authority: string | URL,
  options: Http2ConnectOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): ClientHttp2Session {
  const url = new URL(authority);
  if (url.protocol !== 'https:') throw new TypeError(`${url.protocol} is not https:`);
  const client = clientOptionsOf(options);
  const session = connect(url, {
    ...options,
    createConnection: () => {
      const socket = open({
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 443 : url.port,
        ALPNProtocols: ['h2'],
        ...client,
      });
      socket.once('secureConnect', () => {
        if (socket.alpnProtocol === 'h2' || client.ALPNProtocols !== undefined) {
          showConnection(session, socket);
          return;
        }
        socket.destroy(
          new OffloadError(OffloadErrorCode.policy, 'server does not speak HTTP/2', {
            phase: 'handshake',
            handshakeId: socket.handshakeId,
          }),
        );
      });
      return socket;
    },
  });
  return session;
}

/** A session is told of within the event that tells of its connection. */
function showConnections(server: Http2SecureServer): void {
  let arriving: OffloadSocket | undefined;
  server.prependListener('secureConnection', (socket: unknown) => {
    arriving = socket as OffloadSocket;
  });
  server.on('session', (session) => {
    if (arriving !== undefined) showConnection(session, arriving);
  });
  server.on('secureConnection', () => {
    arriving = undefined;
  });
}
