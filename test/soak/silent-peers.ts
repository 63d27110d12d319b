import { once } from 'node:events';
import net from 'node:net';

/** Peers that connect and then say nothing, or stop in the middle of a ClientHello. */
export class SilentPeers {
  readonly #connectedAt = performance.now();
  readonly #freedAfterMs: number[] = [];
  readonly #sockets: net.Socket[] = [];
  readonly #freed: Promise<void>;

  constructor(port: number, count: number) {
    let left = count;
    this.#freed = new Promise((resolve) => {
      for (let number = 0; number < count; number++) {
        const socket = net.connect(port, '127.0.0.1', () => {
          if (number % 2 === 1) socket.write(halfClientHello);
        });
        // Being reset is being freed, too.
        socket.on('error', () => undefined);
        socket.on('data', () => undefined);
        socket.on('close', () => {
          this.#freedAfterMs.push(performance.now() - this.#connectedAt);
          if (--left === 0) resolve();
        });
        this.#sockets.push(socket);
      }
    });
  }

  /** Waits until the server has let go of all, or `timeoutMs`. Answers how long each one stayed. */
  async freed(timeoutMs: number): Promise<readonly number[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#freed, late]);
    clearTimeout(timer);
    const freed = [...this.#freedAfterMs];
    for (const socket of this.#sockets) socket.destroy();
    return freed;
  }
}

/** A TCP server on 127.0.0.1 that accepts and says nothing. */
export async function startSilentServer(): Promise<{ readonly port: number; stop(): void }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    // A client that gives up may reset.
    socket.on('error', () => undefined);
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A record header that promises 200 bytes of a ClientHello, and the first few of them. */
const halfClientHello = Buffer.from('16030100c8010000c40303', 'hex');
