import type { KeyObject } from 'node:crypto';

/** Kinds of long-term keys we can use and judge. `rsa-pss` is a key restricted to PSS (RFC 4055). */
export type KeyKind = 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519' | 'rsa' | 'rsa-pss';

/** The kind of a key, or `undefined` for one we do not use (other curves, DSA, ...). */
export function keyKindOf(key: KeyObject): KeyKind | undefined {
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ecdsa-p256';
      if (key.asymmetricKeyDetails?.namedCurve === 'secp384r1') return 'ecdsa-p384';
      return undefined;
    case 'ed25519':
    case 'rsa':
    case 'rsa-pss':
      return key.asymmetricKeyType;
    default:
      return undefined;
  }
}
