import { once } from 'node:events';
import type * as library from '../../src/offload/index.ts';
import { connect } from 'node:net';
import type { RunningSidecar } from '../interop/sides/sidekey.ts';
import { builtLibrary } from '../support/built-library.ts';

/** A server and a client application over the built library, each with a sidecar of its own. */
export interface Applications {
  readonly port: number;
  /** One connection: handshake, a question, its answer, end. Says whether it was resumed. */
  exchange(serverName: string): Promise<{ readonly resumed: boolean }>;
  /** One handshake that cannot succeed, in the `number`th way; says so if it does. */
  failure(number: number): Promise<void>;
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
    failure: (number) => failure(clientSide, port, number),
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

/** A name the certificate is not for, noise, half a ClientHello, or nothing at all. */
async function failure(offload: library.Offload, port: number, number: number): Promise<void> {
  if (number % 4 === 0) {
    const servername = 'name.of-nobody.test';
    const socket = offload.connect({ host: '127.0.0.1', port, servername });
    socket.on('secureConnect', () => socket.emit('error', new Error('another name was accepted')));
    const [error] = (await once(socket, 'error')) as [Error];
    if (error.message === 'another name was accepted') throw error;
    return;
  }
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  socket.end(badBeginnings[(number % 4) - 1] ?? '');
  await new Promise((resolve) => socket.once('close', resolve));
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

const question = 'is anybody there?\n';

const badBeginnings = [
  Buffer.alloc(300, 0xa5),
  Buffer.from('16030100c8010000c40303', 'hex'),
  Buffer.alloc(0),
];
