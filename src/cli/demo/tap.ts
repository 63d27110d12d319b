import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { MessageDecoder } from './message-decoder.ts';

/** What a tap saw pass. */
export interface PassedMessage {
  readonly from: 'client' | 'server';
  readonly name: string;
}

/**
 * A TCP relay in front of a server that changes nothing and names the TLS messages passing by: the
 * wire between two applications, made visible.
 */
export class Tap {
  /** Told each message, until set to something else. */
  onMessage: (message: PassedMessage) => void = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #bytesFromServer = 0;
  #awaited: { readonly bytes: number; readonly reached: () => void } | undefined;

  private constructor(targetPort: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      this.#relay(client, targetPort);
    });
  }

  /** Listens on a free port of the loopback address. */
  static async open(targetPort: number): Promise<Tap> {
    const tap = new Tap(targetPort);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string')
      throw new Error('the tap is not listening');
    return address.port;
  }

  /** Bytes relayed to clients since the tap was opened. */
  get bytesFromServer(): number {
    return this.#bytesFromServer;
  }

  /** Settles when `bytes` bytes more have been relayed to clients. */
  async passed(bytes: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#awaited = { bytes: this.#bytesFromServer + bytes, reached: resolve };
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(client: Socket, targetPort: number): void {
    const server = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true });
    this.#watch(client, server, 'client');
    this.#watch(server, client, 'server');
    server.on('data', (chunk) => {
      this.#bytesFromServer += chunk.length;
      if (this.#awaited !== undefined && this.#bytesFromServer >= this.#awaited.bytes) {
        this.#awaited.reached();
        this.#awaited = undefined;
      }
    });
  }

  #watch(from: Socket, to: Socket, name: 'client' | 'server'): void {
    const decoder = new MessageDecoder((message) => {
      this.onMessage({ from: name, name: message });
    });
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      decoder.push(chunk);
    });
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
