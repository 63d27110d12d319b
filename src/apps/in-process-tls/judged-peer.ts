import type { Certificate } from '../../pki/index.ts';

/** A peer whose chain was found good. */
export interface JudgedPeer<Peer> {
  readonly leaf: Certificate;
  /** Who it is, in the listener's own terms. */
  readonly peer: Peer;
  /** SPIFFE ID, if it has one that counts. */
  readonly identity: string | undefined;
}
