import { once } from 'node:events';
import { createServer, connect as connectTcp, type Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  createOffload,
  type Offload,
  type OffloadOptions,
  OffloadSocket,
} from '../../offload/index.ts';
import { formatAddress, type ListenAddress } from '../../rpc/address.ts';
import { listen } from '../../rpc/listen.ts';
import { describeFailure } from '../failure.ts';
import { print, printError } from '../terminal.ts';
import { callerOf, connectionLine } from './connection-line.ts';
import { relayPair } from './relay-pair.ts';

/** Where connections go; unlike a place to listen on, by any name. */
export type ForwardTarget =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** What is said about the TLS side. */
export type ForwardRole =
  | {
      /** Plain connections come in, TLS goes out. */
      readonly role: 'client';
      readonly servername: string | undefined;
      readonly targetIdentities: readonly string[];
      readonly anonymous: boolean;
    }
  | {
      /** TLS comes in, plain connections go out. */
      readonly role: 'server';
      /** SPIFFE IDs of clients; absent: all the sidecar trusts. */
      readonly allowedPeers: readonly string[] | undefined;
    };

export interface ForwardOptions {
  readonly offload: OffloadOptions;
  readonly listen: ListenAddress;
  readonly to: ForwardTarget;
  readonly side: ForwardRole;
  readonly applicationProtocols: readonly string[];
  /** Further ones are closed as they come. */
  readonly maxConnections: number;
  /** How long connections may go on after SIGTERM, in milliseconds; absent: as long as they like. */
  readonly drainMs: number | undefined;
}

/**
 * Forwards connections until SIGTERM or SIGINT, then takes no more and waits for those there are. A
 * second signal ends them at once.
 *
 * @throws if the address cannot be listened on
 */
export async function forward(options: ForwardOptions): Promise<void> {
  const offload = createOffload(options.offload);
  const connections = new Connections();
  const server = entrance(options, offload, connections);
  server.maxConnections = options.maxConnections;
  server.on('drop', () => {
    printError(`connection refused: there are ${String(options.maxConnections)} already`);
  });
  const listening = await listen(server, options.listen, { mode: 0o600 });
  print(`listening ${formatAddress(listening.address)}`);
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const closed = listening.close();
  await connections.drain(options.drainMs);
  await closed;
  await offload.close();
}

function entrance(options: ForwardOptions, offload: Offload, connections: Connections): Server {
  const { side, to, applicationProtocols } = options;
  const ALPNProtocols = [...applicationProtocols];
  switch (side.role) {
    case 'client':
      return createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (caller) => {
        const secure = offload.connect({
          ...(to.kind === 'unix' ? { path: to.path } : { host: to.host, port: to.port }),
          servername: side.servername,
          targetIdentities: [...side.targetIdentities],
          anonymous: side.anonymous,
          ALPNProtocols,
          allowHalfOpen: true,
          keepAlive: true,
        });
        connections.join(caller, secure, secure);
      });
    case 'server': {
      const server = offload.createServer(
        {
          clientAuth: 'require',
          ...(side.allowedPeers === undefined ? {} : { allowedPeers: [...side.allowedPeers] }),
          ALPNProtocols,
          allowHalfOpen: true,
          keepAlive: true,
        },
        (secure) => {
          connections.join(secure, openPlain(to), secure);
        },
      );
      // Looked up while the connection is there, so that it can be told when it is not.
      server.on('connection', (raw: Socket) => raw.remoteAddress);
      server.on('tlsClientError', (error: Error, socket: OffloadSocket) => {
        printError(`connection from ${callerOf(socket)}, refused: ${describeFailure(error)}`);
      });
      return server;
    }
  }
}

function openPlain(to: ForwardTarget): Socket {
  const where = to.kind === 'unix' ? { path: to.path } : { host: to.host, port: to.port };
  return connectTcp({ ...where, allowHalfOpen: true, noDelay: true, keepAlive: true });
}

/** The connections there are. */
class Connections {
  readonly #open = new Set<{ readonly sides: readonly Duplex[]; readonly over: Promise<void> }>();

  join(caller: Socket | OffloadSocket, target: Duplex, secure: OffloadSocket): void {
    const began = performance.now();
    const from = callerOf(caller);
    const over = relayPair(caller, target, abandon).then((relayed) => {
      printError(connectionLine(from, secure, relayed, performance.now() - began));
      this.#open.delete(connection);
    });
    const connection = { sides: [caller, target], over };
    this.#open.add(connection);
  }

  /** Waits for all to end; they are broken when the time is over, or by another signal. */
  async drain(limitMs: number | undefined): Promise<void> {
    const stop = (): void => {
      for (const { sides } of this.#open) sides.forEach(abandon);
    };
    const timer = limitMs === undefined ? undefined : setTimeout(stop, limitMs);
    process.once('SIGTERM', stop).once('SIGINT', stop);
    while (this.#open.size > 0) await Promise.all([...this.#open].map(({ over }) => over));
    clearTimeout(timer);
    process.off('SIGTERM', stop).off('SIGINT', stop);
  }
}

/** A reset, and no close_notify: the other end sees a break where there was one. */
function abandon(side: Duplex): void {
  if (side.destroyed) return;
  if (side instanceof OffloadSocket) side.destroy(new Error('the other side broke'));
  else if (side instanceof Socket) side.resetAndDestroy();
  else side.destroy();
}
