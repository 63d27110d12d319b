import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Fixture, IdentityFiles } from './fixture.ts';
import type { HandshakeView } from './peer.ts';
import { writeViewLines } from './view-lines.ts';

/** What a `node:tls` side shows and asks for. */
export interface NodeSide {
  readonly fixture: Fixture;
  readonly identity: IdentityFiles | undefined;
  readonly options?: tls.SecureContextOptions & { readonly ALPNProtocols?: string[] };
}

export interface NodeServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** A `node:tls` server on a port of 127.0.0.1. */
export async function startNodeServer(
  side: NodeSide & {
    readonly clientCertificate: boolean;
    /** Shows its view of the handshake, or returns what it gets. */
    readonly mode?: 'www' | 'echo';
    /** Written as soon as the handshake is done. */
    readonly greeting?: string;
  },
): Promise<NodeServer> {
  const server = tls.createServer(
    {
      ...material(side),
      requestCert: side.clientCertificate,
      rejectUnauthorized: side.clientCertificate,
    },
    (socket) => {
      // A client that resets instead of closing is judged by what it printed.
      socket.on('error', () => undefined);
      if (side.greeting !== undefined) socket.write(side.greeting);
      if (side.mode === 'echo') socket.pipe(socket);
      else answerWithView(socket);
    },
  );
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  // The other side reports a handshake that failed; the server goes on.
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface NodeExchange {
  readonly answer: Buffer;
  readonly view: HandshakeView;
  readonly session: Buffer | undefined;
}

/** Connects with `node:tls`, sends the request and reads until the server closes. */
export async function exchange(
  side: NodeSide & {
    readonly port: number;
    readonly serverName: string;
    readonly session?: Buffer | undefined;
    readonly request: Uint8Array;
    readonly answerEnd?: RegExp | undefined;
  },
): Promise<NodeExchange> {
  const socket = tls.connect({
    ...material(side),
    host: '127.0.0.1',
    port: side.port,
    servername: side.serverName,
    ...(side.session === undefined ? {} : { session: side.session }),
  });
  let session: Buffer | undefined;
  socket.on('session', (ticket) => (session = ticket));
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (side.answerEnd?.test(Buffer.concat(chunks).toString('latin1'))) socket.end();
  });
  const [view] = await Promise.all([
    once(socket, 'secureConnect').then(() => {
      socket.write(side.request);
      return viewOf(socket);
    }),
    once(socket, 'close'),
  ]);
  return { answer: Buffer.concat(chunks), view, session };
}

/** What `node:tls` tells about a connection. */
export function viewOf(socket: tls.TLSSocket): HandshakeView {
  const certificate: Partial<tls.PeerCertificate> = socket.getPeerCertificate();
  const group = socket.getEphemeralKeyInfo();
  const resumed = socket.isSessionReused();
  const peer =
    certificate.subject === undefined
      ? 'none'
      : `${String(certificate.subject.CN)}, ${certificate.subjectaltname ?? ''}`;
  return {
    version: socket.getProtocol() ?? 'none',
    suite: socket.getCipher().standardName,
    resumed,
    alpn:
      socket.alpnProtocol === false || socket.alpnProtocol === null ? 'none' : socket.alpnProtocol,
    // A resumed client session does not know the certificate any more.
    ...(resumed && peer === 'none' ? {} : { peer }),
    // Only a server knows what it was asked for.
    ...(typeof socket.servername === 'string' ? { serverName: socket.servername } : {}),
    ...(group !== null && 'name' in group && group.name !== undefined ? { group: group.name } : {}),
  };
}

function answerWithView(socket: tls.TLSSocket): void {
  let request = '';
  socket.on('data', (chunk: Buffer) => {
    request += chunk.toString('latin1');
    if (!/\r?\n\r?\n/.test(request)) return;
    const body = writeViewLines(viewOf(socket));
    socket.end(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${String(body.length)}\r\n` +
        `Connection: close\r\n\r\n${body}`,
    );
  });
}

function material(side: NodeSide): tls.SecureContextOptions & { ALPNProtocols?: string[] } {
  return {
    ca: readFileSync(side.fixture.rootsFile),
    ...(side.identity === undefined
      ? {}
      : {
          cert: readFileSync(side.identity.certificateFile),
          key: readFileSync(side.identity.privateKeyFile),
        }),
    ...side.options,
  };
}
