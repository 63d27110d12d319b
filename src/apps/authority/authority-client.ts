import { authorizeOperator, authorizeOwner } from '../../ca/administration/index.ts';
import type { Caller } from '../../ca/context.ts';
import type { AuthorityConnections, ConnectionOrigin, PeerIdentity } from '../../ca/index.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Connection, RpcServer } from '../../rpc/server.ts';

/** Through what an authority is asked: its own unix socket, or TLS. */
export type AuthorityClient =
  | { readonly kind: 'owner' }
  | {
      readonly kind: 'tls';
      readonly peer: PeerIdentity;
      /** What is counted as one source. */
      readonly source: string;
      /** Ends the connection at once, at the cost of its source. */
      readonly cut: () => void;
    };

interface Call {
  getPeer(): string;
}

/** Tells the services of an authority who makes a call. */
export class AuthorityClients implements AuthorityConnections {
  readonly #rpc: RpcServer<AuthorityClient>;
  readonly #trustDomain: string;
  readonly #ownUid: number;

  constructor(rpc: RpcServer<AuthorityClient>, trustDomain: string, ownUid: number) {
    this.#rpc = rpc;
    this.#trustDomain = trustDomain;
    this.#ownUid = ownUid;
  }

  /** For hosts. The owner's socket is none of their ways. */
  origin(call: Call): ConnectionOrigin | undefined {
    const client = this.#connection(call)?.listener;
    if (client?.kind !== 'tls') return undefined;
    const { peer, source } = client;
    return { source, leaf: peer.kind === 'none' ? undefined : peer.certificate.der };
  }

  /** Ends the connection of a call at once. */
  cut(call: Call): void {
    const client = this.#connection(call)?.listener;
    if (client?.kind === 'tls') client.cut();
  }

  /** For administration: the owner, or an operator. Throws `ServiceError`. */
  administratorOf(call: Call): Caller {
    const connection = this.#connection(call);
    if (connection === undefined) {
      throw new ServiceError('CANCELLED', 'gone', 'the connection has ended');
    }
    const { listener, credentials } = connection;
    if (listener.kind === 'owner') return authorizeOwner(credentials?.uid, this.#ownUid);
    const { peer, source } = listener;
    const id = peer.kind === 'host' ? peer.spiffeId : undefined;
    return authorizeOperator(id, this.#trustDomain, source);
  }

  #connection(call: Call): Connection<AuthorityClient> | undefined {
    return this.#rpc.connection(call.getPeer());
  }
}
