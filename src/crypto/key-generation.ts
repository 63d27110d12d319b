import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair as generateInBackground,
  generateKeyPairSync,
  type ECKeyPairOptions,
  type ED25519KeyPairOptions,
  type KeyObject,
  type RSAKeyPairOptions,
  type RSAPSSKeyPairOptions,
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
      return imported(generateKeyPairSync('ec', onCurve('P-256')));
    case 'ecdsa-p384':
      return imported(generateKeyPairSync('ec', onCurve('P-384')));
    case 'ed25519':
      return imported(generateKeyPairSync('ed25519', edwards));
    case 'rsa':
      return imported(generateKeyPairSync('rsa', ofBits(rsaBits)));
    case 'rsa-pss':
      return imported(generateKeyPairSync('rsa-pss', restricted(rsaBits)));
  }
}

/** As {@link generateKeyPair}; RSA, which takes up to seconds, is made on the thread pool. */
export async function generateKeyPairAsync(
  kind: KeyKind,
  rsaBits: 2048 | 3072 | 4096 = 2048,
): Promise<KeyPair> {
  if (kind !== 'rsa') return generateKeyPair(kind, rsaBits);
  return imported(await promisify(generateInBackground)('rsa', ofBits(rsaBits)));
}

/**
 * Node 20 freezes when it collects the job that made a key while something else, such as reading
 * `asymmetricKeyDetails`, holds the key: both take the same lock. A key that was imported has a lock
 * of its own. The bytes in between are wiped.
 */
function imported(encoded: { readonly publicKey: Buffer; readonly privateKey: Buffer }): KeyPair {
  try {
    return {
      publicKey: createPublicKey({ key: encoded.publicKey, format: 'der', type: 'spki' }),
      privateKey: createPrivateKey({ key: encoded.privateKey, format: 'der', type: 'pkcs8' }),
    };
  } finally {
    encoded.privateKey.fill(0);
  }
}

function onCurve(namedCurve: string): ECKeyPairOptions<'der', 'der'> {
  return { namedCurve, ...encodings };
}

function ofBits(modulusLength: number): RSAKeyPairOptions<'der', 'der'> {
  return { modulusLength, ...encodings };
}

function restricted(modulusLength: number): RSAPSSKeyPairOptions<'der', 'der'> {
  return { modulusLength, ...encodings };
}

const encodings = {
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'der' },
} as const;
const edwards: ED25519KeyPairOptions<'der', 'der'> = encodings;
