import { createPublicKey, type KeyObject } from 'node:crypto';
import { hash } from '../../crypto/hash.ts';
import * as der from '../../pki/der-writer.ts';
import { DerError, readWhole, Tag } from '../../pki/der.ts';
import { type AuthorityKeyType, KeyManagerError } from './key-manager.ts';
import { Mechanism } from './pkcs11-codes.ts';

/** How a kind of key is made and used through PKCS #11. */
export interface Pkcs11Curve {
  readonly generate: number;
  readonly sign: number;
  /** CKA_EC_PARAMS: which curve. */
  readonly parameters: Uint8Array;
  /** Bytes of the public point, and of a signature as a token makes it. */
  readonly pointBytes: number;
  readonly signatureBytes: number;
  /** What is given to be signed: the token does not hash. */
  readonly prepare: (content: Uint8Array) => Uint8Array;
  /** From the token's form to the one of X.509. */
  readonly finish: (signature: Uint8Array) => Uint8Array;
}

/** The kinds of keys that an authority can have. */
export const pkcs11Curves: Readonly<Record<AuthorityKeyType, Pkcs11Curve>> = {
  'ecdsa-p256': ecdsa('1.2.840.10045.3.1.7', 32, 'sha256'),
  'ecdsa-p384': ecdsa('1.3.132.0.34', 48, 'sha384'),
  ed25519: {
    generate: Mechanism.ecEdwardsKeyPairGen,
    sign: Mechanism.eddsa,
    // PKCS #11 v3.0 §2.3.5: the curve by name.
    parameters: Buffer.from('\x13\x0cedwards25519', 'latin1'),
    pointBytes: 32,
    signatureBytes: 64,
    prepare: (content) => content,
    finish: (signature) => signature,
  },
};

/** The kind of a key on a token; `undefined`: none that an authority has. */
export function curveOf(parameters: Uint8Array): AuthorityKeyType | undefined {
  const given = Buffer.from(parameters);
  const kinds: readonly AuthorityKeyType[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519'];
  return kinds.find((kind) => given.equals(pkcs11Curves[kind].parameters));
}

/** The public key in a CKA_EC_POINT: an OCTET STRING. Throws {@link KeyManagerError}. */
export function publicKeyOf(type: AuthorityKeyType, ecPoint: Uint8Array): KeyObject {
  const { pointBytes } = pkcs11Curves[type];
  try {
    const point = readWhole(ecPoint, (reader) => reader.content(Tag.octetString));
    if (point.length !== pointBytes) throw new DerError('has another length');
    const info = der.sequence(algorithmOf(type), der.bitString(point));
    return createPublicKey({ key: Buffer.from(info), format: 'der', type: 'spki' });
  } catch (error) {
    throw new KeyManagerError('the token gives out a public key that is none', { cause: error });
  }
}

/* AlgorithmIdentifier ::= SEQUENCE { algorithm, parameters }: RFC 5480 §2.1.1, RFC 8410 §3 */
function algorithmOf(type: AuthorityKeyType): Uint8Array {
  return type === 'ed25519'
    ? der.sequence(der.objectIdentifier('1.3.101.112'))
    : der.sequence(der.objectIdentifier('1.2.840.10045.2.1'), pkcs11Curves[type].parameters);
}

function ecdsa(curve: string, bytes: number, hashName: 'sha256' | 'sha384'): Pkcs11Curve {
  return {
    generate: Mechanism.ecKeyPairGen,
    sign: Mechanism.ecdsa,
    parameters: der.objectIdentifier(curve),
    pointBytes: 1 + 2 * bytes,
    signatureBytes: 2 * bytes,
    prepare: (content) => hash(hashName, content),
    // Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }, RFC 3279 §2.2.3
    finish: (signature) =>
      der.sequence(
        der.unsignedInteger(signature.subarray(0, bytes)),
        der.unsignedInteger(signature.subarray(bytes)),
      ),
  };
}
