import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { Duplex } from 'node:stream';
import type {
  ConnectOptions,
  Offload,
  OffloadSocket,
  ServerOptions,
} from '../../../src/offload/index.ts';

export interface SecurePair {
  readonly client: OffloadSocket;
  readonly server: OffloadSocket;
  readonly close: () => Promise<void>;
}

/** A client and a server socket of `offload`, connected over TCP, both secure. */
export async function securePair(
  offload: Offload,
  options: { client?: ConnectOptions; server?: ServerOptions } = {},
): Promise<SecurePair> {
  const listener = offload.createServer(options.server ?? {});
  const port = await listen(listener);
  const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
  const client = offload.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ...options.client,
  });
  const [[server]] = await Promise.all([accepted, once(client, 'secureConnect')]);
  return {
    client,
    server,
    close: async () => {
      client.destroy();
      server.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Listens on a free port of the loopback interface. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Reads until there are so many bytes. */
export async function readBytes(stream: Duplex, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes < length) {
    const chunk = stream.read() as Buffer | null;
    if (chunk === null) {
      await once(stream, 'readable');
      continue;
    }
    chunks.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(chunks);
}

/** The error a stream is destroyed with. */
export async function failure(stream: Duplex): Promise<Error & Record<string, unknown>> {
  const [error] = (await once(stream, 'error')) as [Error & Record<string, unknown>];
  return error;
}
