import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import type * as library from '../../src/offload/index.ts';
import type { RunningSidecar } from '../interop/sides/sidekey.ts';

/** A server and a client application over the built library, each with a sidecar of its own. */
export interface Applications {
  readonly port: number;
  /** One connection: handshake, a question, its answer, end. Says whether it was resumed. */
  exchange(serverName: string): Promise<{ readonly resumed: boolean }>;
  /** Connects to a port where nobody answers; the code of the error that ends it. */
  dial(port: number): Promise<string>;
  /** Handshakes the server refused or gave up, so far. */
  readonly failedHandshakes: number;
  close(): Promise<void>;
}

export async function startApplications(
  serverSidecar: RunningSidecar,
  clientSidecar: RunningSidecar,
): Promise<Applications> {
  const { createOffload } = await builtLibrary();
  const serverSide = createOffload({ address: serverSidecar.address, identity: 'ecdsa' });
  const clientSide = createOffload({ address: clientSidecar.address, identity: 'ecdsa' });
  let failedHandshakes = 0;
  const server = serverSide.createServer({ clientAuth: 'require' }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => failedHandshakes++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  const { port } = address;
  return {
    port,
    dial: (silentPort) => dial(clientSide, silentPort),
    exchange: (serverName) => exchange(clientSide, port, serverName),
    get failedHandshakes() {
      return failedHandshakes;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      await Promise.all([serverSide.close(), clientSide.close()]);
    },
  };
}

async function exchange(
  offload: library.Offload,
  port: number,
  servername: string,
): Promise<{ readonly resumed: boolean }> {
  const socket = offload.connect({ host: '127.0.0.1', port, servername });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (Buffer.concat(chunks).length >= question.length) socket.end();
  });
  const closed = once(socket, 'close');
  await Promise.all([once(socket, 'secureConnect').then(() => socket.write(question)), closed]);
  const answer = Buffer.concat(chunks).toString();
  if (answer !== question) throw new Error(`the answer is ${answer}`);
  return { resumed: socket.isSessionReused() };
}

function dial(offload: library.Offload, port: number): Promise<string> {
  const socket = offload.connect({ host: '127.0.0.1', port, servername: 'silent.interop.test' });
  return new Promise((resolve) => {
    socket.on('error', (error) => {
      resolve('code' in error ? String(error.code) : error.message);
    });
    socket.on('close', () => {
      resolve('closed without an error');
    });
  });
}

/** The library as packaged, not as it stands in src. */
async function builtLibrary(): Promise<typeof library> {
  const file = path.join(import.meta.dirname, '../../dist/offload/index.js');
  return (await import(pathToFileURL(file).href)) as typeof library;
}

const question = 'is anybody there?\n';
