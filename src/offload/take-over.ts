import type { Server, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { OffloadSocket } from './offload-socket.ts';
import type { SecureSockets } from './server.ts';

/**
 * Makes a server of Node's that is built on `tls.Server` use our handshakes: everything above
 * `secureConnection` stays Node's own, and so do `listen`, limits and time-outs.
 */
export function takeOverConnections(server: Server, sockets: SecureSockets): void {
  server.removeAllListeners('connection');
  server.on('connection', (raw: Socket) => {
    sockets.accept(raw, server);
  });
}

/**
 * Gives a connection to an HTTP server that need not listen, whoever dialled it. A server that never
 * listened does not look after its connections: time limits for headers and requests would be
 * without effect, so its clock is started first.
 */
export function serveConnection(server: Server, socket: OffloadSocket): void {
  if (!server.listening && !started.has(server)) {
    started.add(server);
    server.emit('listening');
  }
  socket.server = server;
  const serve = (): void => {
    server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
  };
  if (socket.secureConnecting) socket.once('secure', serve);
  else serve();
}

const started = new WeakSet<Server>();
