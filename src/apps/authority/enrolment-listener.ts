import { createServer, type Server } from 'node:net';
import type { Logger } from 'pino';
import type { PeerIdentity } from '../../ca/index.ts';
import type { ListenAddress } from '../../rpc/address.ts';
import { listen, type Listening } from '../../rpc/listen.ts';
import type { RpcServer } from '../../rpc/server.ts';
import type { TlsAcceptor } from '../in-process-tls/tls-acceptor.ts';
import { sourceOf } from '../in-process-tls/source-limits.ts';
import type { AuthorityClient } from './authority-client.ts';

export interface EnrolmentListenerOptions {
  readonly address: ListenAddress;
  /** Connections in all; what is behind is refused by the system. */
  readonly maxConnections: number;
  readonly log: Logger;
}

/** What is done with connections once the authority can answer them. */
export interface EnrolmentService {
  readonly acceptor: TlsAcceptor<PeerIdentity>;
  readonly rpc: RpcServer<AuthorityClient>;
}

/**
 * The TCP port of an authority. It is taken before the authority is opened, which has to know its
 * address; who connects before that is closed at once, and comes again.
 */
export class EnrolmentListener {
  readonly #options: EnrolmentListenerOptions;
  readonly #server: Server;
  #listening: Listening | undefined;
  #service: EnrolmentService | undefined;

  constructor(options: EnrolmentListenerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (raw) => {
      raw.on('error', () => raw.destroy());
      const service = this.#service;
      if (service === undefined) {
        raw.destroy();
        return;
      }
      const { acceptor, rpc } = service;
      acceptor.accept(raw).then(
        (accepted) => {
          const { stream, peer, source } = accepted;
          const client = {
            kind: 'tls',
            peer: peer ?? anonymous,
            source: sourceOf(source),
            cut: () => {
              accepted.cut();
            },
          } as const;
          rpc.inject(stream, client, (reason) => {
            this.#refused(source, reason);
          });
        },
        (error: unknown) => {
          this.#refused(raw.remoteAddress ?? '', error instanceof Error ? error.message : '');
        },
      );
    });
    this.#server.maxConnections = options.maxConnections;
  }

  /** Takes the port. Rejects with `ListenError`. */
  async listen(): Promise<ListenAddress> {
    this.#listening = await listen(this.#server, this.#options.address, { mode: 0o600 });
    return this.#listening.address;
  }

  serve(service: EnrolmentService): void {
    this.#service = service;
  }

  /** Takes no further connections. */
  async close(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.close();
  }

  /** Anybody can connect, so this is no news. */
  #refused(source: string, detail: string): void {
    this.#options.log.debug({ source, detail }, 'connection refused');
  }
}

const anonymous: PeerIdentity = { kind: 'none' };
