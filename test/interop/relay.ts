import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** How a relay passes on what it gets, each direction by itself. */
export type Passing =
  /** Every byte in a write of its own. */
  | 'bytewise'
  /**
   * Holds the Finished back until the first application data, then sends both in one write; what
   * came before goes on unchanged.
   */
  | 'merged'
  | 'unchanged';

export interface Relay {
  readonly port: number;
  /** Writes so far in which a Finished shared its segment with application data. */
  readonly mergedWrites: number;
  stop(): Promise<void>;
}

/** What a relay does with one connection. */
export interface Route {
  readonly toServer: Passing;
  readonly toClient: Passing;
}

/**
 * A TCP relay on 127.0.0.1 that cuts and joins segments as the network may; the first connection
 * takes the first route, and so on, the last route serves all that follow.
 */
export async function startRelay(
  targetPort: number,
  routes: readonly [Route, ...Route[]],
): Promise<Relay> {
  let connections = 0;
  let mergedWrites = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = net.connect({
      port: targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // A reset on one side becomes one on the other; the peers report it.
      socket.on('error', () => {
        client.destroy();
        upstream.destroy();
      });
      socket.on('close', () => sockets.delete(socket));
    }
    const count = (): void => {
      mergedWrites++;
    };
    const route = routes[Math.min(connections, routes.length - 1)] ?? routes[0];
    connections++;
    // Neither rejects: errors arrive at the sockets' own listeners.
    void pass(client, upstream, route.toServer, count);
    void pass(upstream, client, route.toClient, count);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    get mergedWrites() {
      return mergedWrites;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function pass(
  from: net.Socket,
  to: net.Socket,
  passing: Passing,
  onMerged: () => void,
): Promise<void> {
  const holder = new FinishedHolder(onMerged);
  from.on('end', () => {
    if (passing === 'merged') to.write(holder.release());
    if (passing !== 'bytewise') to.end();
  });
  if (passing !== 'bytewise') {
    from.on('data', (chunk: Buffer) => {
      const bytes = passing === 'merged' ? holder.push(chunk) : chunk;
      if (bytes.length > 0) to.write(bytes);
    });
    return;
  }
  try {
    for await (const chunk of from) {
      for (const byte of Buffer.from(chunk as Buffer)) {
        to.write(Uint8Array.of(byte));
        // Lets the write reach the kernel, and mostly the peer, before the next one.
        await nextTurn();
      }
    }
    to.end();
  } catch (error) {
    to.destroy(error instanceof Error ? error : undefined);
  }
}

/** Watches the records of one direction and keeps ChangeCipherSpec and Finished back. */
class FinishedHolder {
  readonly #onMerged: () => void;
  #unread = Buffer.alloc(0);
  #held: Buffer[] = [];
  #state: 'plain' | 'holding' | 'done' = 'plain';

  constructor(onMerged: () => void) {
    this.#onMerged = onMerged;
  }

  /** Takes bytes of the direction and answers those that may go now. */
  push(chunk: Buffer): Buffer {
    if (this.#state === 'done') return chunk;
    this.#unread = Buffer.concat([this.#unread, chunk]);
    const ready: Buffer[] = [];
    while (this.#unread.length >= 5) {
      const length = 5 + this.#unread.readUInt16BE(3);
      if (this.#unread.length < length) break;
      const record = this.#unread.subarray(0, length);
      this.#unread = this.#unread.subarray(length);
      if (record[0] === changeCipherSpec) this.#state = 'holding';
      if (this.#state === 'holding') {
        this.#held.push(record);
        if (record[0] === applicationData) {
          this.#onMerged();
          ready.push(this.release());
          return Buffer.concat(ready);
        }
        continue;
      }
      ready.push(record);
    }
    return Buffer.concat(ready);
  }

  /** Gives up holding. */
  release(): Buffer {
    const bytes = Buffer.concat([...this.#held, this.#unread]);
    this.#held = [];
    this.#unread = Buffer.alloc(0);
    this.#state = 'done';
    return bytes;
  }
}

const changeCipherSpec = 20;
const applicationData = 23;
