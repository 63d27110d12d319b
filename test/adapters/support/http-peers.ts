import type { Server } from 'node:net';
import { WebSocketServer } from 'ws';
import type { Server as HttpsServer } from 'node:https';
import { listen } from '../../offload/support/connections.ts';
import type { Stage } from './stage.ts';
import { createSecureServer } from 'node:http2';

/** A stock server of Node's for HTTP/1.1, HTTP/2 and WebSocket, to clients with a certificate. */
export async function startWebServer(stage: Stage): Promise<{ port: number; server: Server }> {
  const { certificatePem, privateKeyPem } = stage.server;
  const server = createSecureServer(
    {
      allowHTTP1: true,
      cert: certificatePem,
      key: privateKeyPem,
      ca: stage.ca.pem,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      response.setHeader('content-type', 'text/plain');
      response.end(`hello over HTTP/${request.httpVersion}`);
    },
  );
  server.on('sessionError', () => undefined).on('tlsClientError', () => undefined);
  new WebSocketServer({ server: server as unknown as HttpsServer }).on('connection', (socket) => {
    socket.on('message', (message: Buffer) => {
      socket.send(message);
    });
  });
  return { port: await listen(server), server };
}
