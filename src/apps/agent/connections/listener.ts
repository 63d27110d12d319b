import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Offload, OffloadSocket } from '../../../offload/index.ts';
import { directProtocols } from '../../fleet/agent-api/connection.ts';
import type { HostAndPort } from '../config.ts';
import type { IdentityInUse } from './identity-in-use.ts';

export interface ListenerOptions {
  readonly offload: Offload;
  /** As whom to answer now; absent: as nobody, connections are closed at once. */
  readonly identity: () => IdentityInUse | undefined;
  readonly accepted: (socket: OffloadSocket, identity: IdentityInUse) => void;
  readonly refused: (error: Error, address: string) => void;
  /** A connection could not be accepted, as for want of descriptors; the port stays open. */
  readonly failed: (error: Error) => void;
}

/**
 * The port managers dial. Who it answers as may change at any time, the port does not. What has not proved to be a
 * manager can take only so many places, and those who have are not among them.
 */
export class Listener {
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #shaking = new Set<OffloadSocket>();

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (raw) => {
      this.#accept(raw);
    });
  }

  /** Rejects with the system's error if it cannot listen there. */
  static async open({ host, port }: HostAndPort, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    listener.#server.listen({ host, port });
    await once(listener.#server, 'listening');
    listener.#server.on('error', options.failed);
    return listener;
  }

  /** ADDRESS:PORT it listens on. */
  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') return '';
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return `${host}:${String(address.port)}`;
  }

  /** Closes the port; connections that are established go on. */
  close(): void {
    this.#server.close();
    for (const socket of this.#shaking) socket.destroy();
  }

  #accept(raw: Socket): void {
    const { offload, identity: identityNow, accepted, refused } = this.#options;
    const identity = identityNow();
    if (identity === undefined || this.#shaking.size >= maxShaking) {
      raw.destroy();
      return;
    }
    const from = `${raw.remoteAddress ?? 'somebody gone'}:${String(raw.remotePort ?? 0)}`;
    const socket = offload.wrap(raw, {
      role: 'server',
      identity: identity.name,
      clientAuth: 'require',
      ALPNProtocols: directProtocols,
      requireApplicationProtocol: true,
      allowedPeers: identity.peers,
      handshakeTimeout: handshakeMs,
    });
    this.#shaking.add(socket);
    let secure = false;
    // Stays: no peer may end the process by breaking a connection.
    socket.on('error', (error: Error) => {
      if (!secure) refused(error, from);
    });
    socket.once('close', () => {
      this.#shaking.delete(socket);
    });
    socket.once('secure', () => {
      secure = true;
      this.#shaking.delete(socket);
      accepted(socket, identity);
    });
  }
}

/** Handshakes at once; each lasts at most as long as is said below. */
const maxShaking = 64;
const handshakeMs = 10_000;
