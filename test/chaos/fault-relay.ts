import { once } from 'node:events';
import {
  connect,
  createServer,
  type AddressInfo,
  type NetConnectOpts,
  type Server,
} from 'node:net';
import type { Socket } from 'node:net';

/** What goes wrong at one byte of one direction. */
export type FaultKind = 'drop' | 'delay' | 'duplicate' | 'cut' | 'half-close';

/** `up` is from whoever dialled. */
export type Direction = 'up' | 'down';

export interface Fault {
  readonly kind: FaultKind;
  readonly direction: Direction;
  /** Index of the first byte concerned. */
  readonly at: number;
}

export interface RelayOptions {
  readonly target: NetConnectOpts;
  /** Where to listen; absent: a free port. */
  readonly path?: string;
  /** Of the first connection only: what comes later passes. */
  readonly fault?: Fault | undefined;
  /** Sees what passes; answers whether to pass it on. */
  readonly tap?: (direction: Direction, bytes: Buffer) => boolean;
}

/** Passes bytes between two sockets, and breaks the first connection as networks do. */
export class FaultRelay {
  /** Bytes that came in from either side of the first connection. */
  readonly seen: Record<Direction, number> = { up: 0, down: 0 };
  readonly #options: RelayOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  private constructor(options: RelayOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ ...options.target, allowHalfOpen: true });
      const isFirst = this.#connections === 0;
      this.#connections += 1;
      this.#pass(near, far, 'up', isFirst);
      this.#pass(far, near, 'down', isFirst);
    });
  }

  static async start(options: RelayOptions): Promise<FaultRelay> {
    const relay = new FaultRelay(options);
    if (options.path === undefined) relay.#server.listen(0, '127.0.0.1');
    else relay.#server.listen(options.path);
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections of either side that are open. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(from: Socket, to: Socket, direction: Direction, isFirst: boolean): void {
    this.#sockets.add(from);
    const { fault, tap } = this.#options;
    const mine = isFirst && fault?.direction === direction ? fault : undefined;
    let muted = false;
    from.on('data', (bytes: Buffer) => {
      if (tap?.(direction, bytes) === false) return;
      const offset = this.seen[direction];
      if (isFirst) this.seen[direction] += bytes.length;
      if (muted) return;
      const place = mine === undefined ? -1 : mine.at - offset;
      if (mine === undefined || place < 0 || place >= bytes.length) {
        to.write(bytes);
        return;
      }
      muted = strike(mine.kind, from, to, bytes.subarray(0, place), bytes.subarray(place));
    });
    from.on('end', () => {
      if (!muted) to.end();
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroySoon();
    });
  }
}

/** Answers whether nothing more passes in this direction. */
function strike(kind: FaultKind, from: Socket, to: Socket, before: Buffer, after: Buffer): boolean {
  switch (kind) {
    case 'drop':
      to.write(before);
      return true;
    case 'delay':
      to.write(before);
      from.pause();
      setTimeout(() => {
        to.write(after);
        from.resume();
      }, delayMs);
      return false;
    case 'duplicate':
      to.write(Buffer.concat([before, after.subarray(0, 1), after]));
      return false;
    case 'cut':
      to.write(before, () => {
        from.destroy();
        to.destroy();
      });
      return true;
    case 'half-close':
      to.end(before);
      return true;
  }
}

const delayMs = 40;
