import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { OffloadSocket, parseSidekeyId } from '../../../offload/index.ts';
import type { PeerCredentialsReader } from '../../../rpc/peer-credentials.ts';
import { AdministrationError } from './administration-error.ts';

export interface AdministratorsOptions {
  /** The user this process runs as; absent: there is none by that name here. */
  readonly ownUid: number | undefined;
  /** Of the manager, and of every operator it obeys. */
  readonly trustDomain: () => string | undefined;
  readonly readCredentials: PeerCredentialsReader;
}

/** Tells who makes a request: the owner of the process at its unix socket, or an operator by his certificate. */
export class Administrators {
  readonly #options: AdministratorsOptions;
  /** Read when a connection comes: later there may be nobody at its other end. */
  readonly #local = new WeakMap<Socket, string>();

  constructor(options: AdministratorsOptions) {
    this.#options = options;
  }

  /** Remembers who opened a connection of the unix socket; `false`: nobody we know, and it must be closed. */
  admitLocal(socket: Socket): boolean {
    const credentials = this.#options.readCredentials(socket);
    if (credentials === undefined) return false;
    const isOwner = credentials.uid === this.#options.ownUid || credentials.uid === rootUid;
    if (isOwner) this.#local.set(socket, `owner (uid ${String(credentials.uid)})`);
    return isOwner;
  }

  /** For the audit log. Throws {@link AdministrationError} for anybody who is no administrator. */
  actorOf({ socket }: IncomingMessage): string {
    const local = this.#local.get(socket);
    if (local !== undefined) return local;
    // The handshake has refused everybody else before; an order is worth a second look.
    const peer: unknown = socket;
    if (peer instanceof OffloadSocket && peer.peerIdentity !== undefined) {
      const id = parseSidekeyId(peer.peerIdentity);
      const trusted = id?.trustDomain === this.#options.trustDomain();
      if (trusted && id?.role === 'operator') return peer.peerIdentity;
    }
    throw new AdministrationError('not_an_operator', 'only operators are answered here');
  }
}

const rootUid = 0;
