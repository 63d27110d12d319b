import { once } from 'node:events';
import type { Server } from 'node:net';
import type { Connection, HandshakeKind, Stack } from './stacks.ts';

/** Port of every service of a server end. */
export type ServicePorts = Readonly<Record<HandshakeKind | 'sink' | 'echo', number>>;

/** Starts them all, on ports the system chooses. */
export async function startServices(stack: Stack): Promise<ServicePorts> {
  return {
    ecdsa: await listen(stack.createServer('ecdsa', accept)),
    rsa: await listen(stack.createServer('rsa', accept)),
    resumed: await listen(stack.createServer('resumed', accept)),
    sink: await listen(stack.createServer('ecdsa', sink)),
    echo: await listen(stack.createServer('ecdsa', echo)),
  };
}

async function listen(server: Server): Promise<number> {
  // One process is the client end of this: that its connections break is for it to say.
  server.on('tlsClientError', (error: Error) => {
    process.stderr.write(`server end: ${error.message}\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}

/** Waits for the client to close. */
function accept(connection: Connection): void {
  connection.on('error', complain);
  connection.resume();
}

/** Reads as many bytes as the first eight say, then answers with one. */
function sink(connection: Connection): void {
  let missing: number | undefined;
  connection.on('error', complain);
  connection.on('data', (data: Buffer) => {
    missing ??= Number(data.readBigUInt64BE()) + 8;
    missing -= data.length;
    if (missing === 0) connection.write('.');
  });
}

function echo(connection: Connection): void {
  connection.on('error', complain);
  connection.on('data', (data: Buffer) => {
    connection.write(data);
  });
}

function complain(error: Error): void {
  process.stderr.write(`server end: ${error.message}\n`);
}
