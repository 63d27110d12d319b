import {
  createECDH,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type ECDH,
  type KeyObject,
} from 'node:crypto';
import { copyOf } from '../bytes/bytes.ts';

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

/**
 * A fresh ephemeral pair for a group by its IANA number: 23 (P-256), 24 (P-384) or 29 (X25519).
 * Throws `RangeError` for any other.
 */
export function generateKeyShare(group: number): KeyShare {
  switch (group) {
    case 23:
      return new EcdhKeyShare(group, 'prime256v1', 65);
    case 24:
      return new EcdhKeyShare(group, 'secp384r1', 97);
    case 29:
      return new X25519KeyShare(group);
    default:
      throw new RangeError(`no key exchange for group ${String(group)}`);
  }
}

class EcdhKeyShare implements KeyShare {
  readonly group: number;
  readonly publicKey: Uint8Array;
  readonly #pointLength: number;
  #pair: ECDH | undefined;

  constructor(group: number, curve: string, pointLength: number) {
    this.group = group;
    this.#pointLength = pointLength;
    this.#pair = createECDH(curve);
    this.publicKey = copyOf(this.#pair.generateKeys());
  }

  complete(peerPublicKey: Uint8Array): Uint8Array {
    const pair = spend(this.#pair);
    this.#pair = undefined;
    checkLength(peerPublicKey, this.#pointLength);
    // RFC 8422 §5.4.1 allows uncompressed points only; OpenSSL would take the other forms too.
    if (peerPublicKey[0] !== 4) throw new KeyExchangeError('point is not in uncompressed form');
    return derive('point is not on the curve', () => pair.computeSecret(peerPublicKey));
  }
}

/** Key pairs stay KeyObjects: their private half is never exported, in any form. */
class X25519KeyShare implements KeyShare {
  readonly group: number;
  readonly publicKey: Uint8Array;
  #privateKey: KeyObject | undefined;

  constructor(group: number) {
    this.group = group;
    const pair = generateKeyPairSync('x25519');
    this.#privateKey = pair.privateKey;
    this.publicKey = copyOf(pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32));
  }

  complete(peerPublicKey: Uint8Array): Uint8Array {
    const privateKey = spend(this.#privateKey);
    this.#privateKey = undefined;
    checkLength(peerPublicKey, 32);
    // The import of a public JWK is many times faster than that of a SubjectPublicKeyInfo.
    const x = Buffer.from(peerPublicKey).toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
    // OpenSSL refuses an all-zero result itself, as RFC 8422 §5.11 demands.
    return derive('public value has small order', () => diffieHellman({ privateKey, publicKey }));
  }
}

function spend<T>(pair: T | undefined): T {
  if (pair === undefined) throw new TypeError('key share used twice');
  return pair;
}

function checkLength(peerPublicKey: Uint8Array, expected: number): void {
  if (peerPublicKey.length === expected) return;
  throw new KeyExchangeError(
    `public value has ${String(peerPublicKey.length)} bytes, expected ${String(expected)}`,
  );
}

function derive(message: string, compute: () => Uint8Array): Uint8Array {
  try {
    return compute();
  } catch (cause) {
    throw new KeyExchangeError(message, { cause });
  }
}
