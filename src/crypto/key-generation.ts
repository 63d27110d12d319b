import {
  generateKeyPair as generateInBackground,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { KeyKind } from './keys.ts';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A fresh long-term key pair; RSA has 2048 bits unless `rsaBits` says more. */
export function generateKeyPair(kind: KeyKind, rsaBits: 2048 | 3072 | 4096 = 2048): KeyPair {
  switch (kind) {
    case 'ecdsa-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ecdsa-p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: rsaBits });
    case 'rsa-pss':
      return generateKeyPairSync('rsa-pss', { modulusLength: rsaBits });
  }
}

/** As {@link generateKeyPair}; RSA, which takes up to seconds, is made on the thread pool. */
export async function generateKeyPairAsync(
  kind: KeyKind,
  rsaBits: 2048 | 3072 | 4096 = 2048,
): Promise<KeyPair> {
  if (kind !== 'rsa') return generateKeyPair(kind, rsaBits);
  return await promisify(generateInBackground)('rsa', { modulusLength: rsaBits });
}
