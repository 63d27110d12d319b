/** One ephemeral key pair of an ECDHE exchange (RFC 8422 §5.10, RFC 7748). */
export interface KeyShare {
  /** IANA number of the group. */
  readonly group: number;
  /** The public value as it goes on the wire: an uncompressed point, or 32 bytes for X25519. */
  readonly publicKey: Uint8Array;
  /**
   * The shared secret, leading zeros kept, in memory the caller owns and wipes. The pair is spent.
   * Throws `KeyExchangeError` for a peer value that is malformed, off the curve or of small order.
   */
  complete(peerPublicKey: Uint8Array): Uint8Array;
}

/** The peer's public value is no good; says why without repeating it. */
export class KeyExchangeError extends Error {
  override readonly name = 'KeyExchangeError';
}
