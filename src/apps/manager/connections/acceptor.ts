import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Offload, OffloadSocket } from '../../../offload/index.ts';
import type { ListenAddress } from '../../../rpc/address.ts';
import { listen, type Listening } from '../../../rpc/listen.ts';
import { reverseProtocols } from '../../fleet/agent-api/connection.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import { secured } from './secured.ts';

export interface AcceptorOptions {
  readonly offload: Offload;
  readonly identity: string | undefined;
  readonly trustDomain: string;
  readonly gate: HandshakeGate;
  readonly log: Logger;
  /** Open connections, with those that wait. */
  readonly maxConnections: number;
  readonly onSecure: (socket: OffloadSocket) => void;
  readonly onRefused: () => void;
}

/** Where agents dial. The handshake lets pass only agents that speak of connections turned around. */
export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #listening: Listening | undefined;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    this.#server.maxConnections = options.maxConnections;
    this.#server.on('connection', (raw) => {
      this.#accept(raw).catch((error: unknown) => {
        raw.destroy();
        options.onRefused();
        options.log.info(
          { err: error, remote: raw.remoteAddress },
          'a connection to the manager was refused',
        );
      });
    });
  }

  get address(): ListenAddress | undefined {
    return this.#listening?.address;
  }

  /** Rejects with `ListenError`. */
  async listen(address: ListenAddress): Promise<void> {
    this.#listening = await listen(this.#server, address, { mode: 0o600 });
  }

  async close(): Promise<void> {
    await this.#listening?.close();
    for (const raw of this.#open) raw.destroy();
  }

  async #accept(raw: Socket): Promise<void> {
    const { gate, offload, identity, trustDomain, onSecure } = this.#options;
    this.#open.add(raw);
    raw.on('error', () => undefined);
    raw.once('close', () => this.#open.delete(raw));
    raw.setKeepAlive(true, 60_000);
    const leave = await gate.enter(raw.remoteAddress ?? '');
    if (leave === undefined) throw new Error('too many handshakes wait');
    try {
      if (raw.destroyed) return;
      const socket = offload.wrap(raw, {
        role: 'server',
        ...(identity === undefined ? {} : { identity }),
        ALPNProtocols: reverseProtocols,
        requireApplicationProtocol: true,
        clientAuth: 'require',
        allowedPeers: [`spiffe://${trustDomain}/agent/*`],
      });
      // Until its turn came, nothing of it was read.
      raw.resume();
      await secured(socket);
      onSecure(socket);
    } finally {
      leave();
    }
  }
}
