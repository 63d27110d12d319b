import type { RequestListener, ServerOptions } from 'node:http';
import { createServer, type Server } from 'node:https';
import { refuseForeignOptions } from '../connection-options.ts';
import type { Handshaker } from '../handshaker.ts';
import { SecureSockets, type ServerHandshakeOptions, withoutHandshakeOptions } from '../server.ts';
import type { OffloadSettings } from '../settings.ts';
import { takeOverConnections } from '../take-over.ts';

/** Options of `http.createServer`, and those of our handshakes. */
export type HttpServerOptions = ServerOptions & ServerHandshakeOptions;

/** An `https.Server` without keys: what frameworks do with one, they can do with this. */
export function createHttpServer(
  options: HttpServerOptions,
  settings: OffloadSettings,
  handshaker: Handshaker,
  onRequest?: RequestListener,
): Server {
  refuseForeignOptions(options);
  const { ALPNProtocols = ['http/1.1'] } = options;
  const server = createServer(withoutHandshakeOptions(options), onRequest);
  const handshake = { ...options, ALPNProtocols, allowHalfOpen: true };
  const sockets = new SecureSockets(handshake, settings, handshaker);
  takeOverConnections(server, sockets);
  const closeHttpConnections = server.closeAllConnections.bind(server);
  // Node's own knows only those on which HTTP has begun.
  server.closeAllConnections = () => {
    closeHttpConnections();
    sockets.destroyAll();
  };
  return server;
}
