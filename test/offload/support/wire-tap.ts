import { connect, createServer, type Server, type Socket } from 'node:net';
import { listen } from './connections.ts';

/** A TCP relay that keeps what passes, and can break the connection as networks do. */
export class WireTap {
  readonly #server: Server;
  readonly #chunks: Record<'fromClient' | 'fromServer', Buffer[]> = {
    fromClient: [],
    fromServer: [],
  };
  #client: Socket | undefined;
  #upstream: Socket | undefined;

  private constructor(target: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
      this.#client = client;
      this.#upstream = upstream;
      client.on('data', (chunk: Buffer) => this.#chunks.fromClient.push(chunk));
      upstream.on('data', (chunk: Buffer) => this.#chunks.fromServer.push(chunk));
      client.pipe(upstream);
      upstream.pipe(client);
      client.on('error', () => upstream.destroy());
      upstream.on('error', () => client.destroy());
    });
  }

  static async to(target: number): Promise<{ tap: WireTap; port: number }> {
    const tap = new WireTap(target);
    return { tap, port: await listen(tap.#server) };
  }

  /** Types of the records seen so far. */
  records(direction: 'fromClient' | 'fromServer'): { type: number; length: number }[] {
    const bytes = Buffer.concat(this.#chunks[direction]);
    const records: { type: number; length: number }[] = [];
    for (let offset = 0; offset + 5 <= bytes.length;) {
      const length = bytes.readUInt16BE(offset + 3);
      records.push({ type: bytes[offset]!, length });
      offset += 5 + length;
    }
    return records;
  }

  /** Sends bytes to one side as if they came from the other. */
  inject(to: 'client' | 'server', bytes: Uint8Array): void {
    (to === 'client' ? this.#client : this.#upstream)?.write(bytes);
  }

  /** Ends the TCP connection to both sides without a word of TLS. */
  cut(): void {
    this.#client?.end();
    this.#upstream?.end();
  }

  reset(): void {
    this.#client?.resetAndDestroy();
    this.#upstream?.resetAndDestroy();
  }

  close(): void {
    this.#client?.destroy();
    this.#upstream?.destroy();
    this.#server.close();
  }
}
