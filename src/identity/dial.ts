import type { KeyObject } from 'node:crypto';
import type { Duplex } from 'node:stream';

/**
 * Opens a connection to an authority: TLS with both sides authenticated. Given from above, as this
 * room has neither sockets nor a handshake engine.
 *
 * Tries the addresses in the order given. Resolves only when the peer has proved, by a chain to one of
 * the roots, a SPIFFE ID of role `authority` in the trust domain. Rejects with what went wrong at each
 * address; with the signal's reason when that is aborted.
 */
export type DialAuthority = (
  /** host:port */
  addresses: readonly string[],
  credential: AuthorityCredential,
  expectation: AuthorityExpectation,
  signal: AbortSignal,
) => Promise<Duplex>;

/** What we show: the enrol-only credential of a bundle, or our own certificate, expired or not. */
export interface AuthorityCredential {
  readonly privateKey: KeyObject;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

/** Whom we expect. */
export interface AuthorityExpectation {
  readonly trustDomain: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** DER: for chains that lack them. */
  readonly intermediates: readonly Uint8Array[];
}
