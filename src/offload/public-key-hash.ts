import { createHash, X509Certificate } from 'node:crypto';
import { equal, toHex } from '../bytes/bytes.ts';

/**
 * A public key by its SHA-256, over the `SubjectPublicKeyInfo` of a certificate (DER), as people and
 * programs hand it on: `sha256:` and 64 hexadecimal digits.
 */
export type PublicKeyHash = `sha256:${string}`;

/** The text for a hash of 32 bytes. */
export function formatPublicKeyHash(hash: Uint8Array): PublicKeyHash {
  return `${prefix}${toHex(hash)}`;
}

/** Throws `TypeError` for anything but `sha256:` and 64 hexadecimal digits, in either case. */
export function parsePublicKeyHash(text: string): Uint8Array {
  if (!/^sha256:[0-9A-Fa-f]{64}$/u.test(text)) {
    throw new TypeError('a public key hash is "sha256:" and 64 hexadecimal digits');
  }
  return Buffer.from(text.slice(prefix.length), 'hex');
}

/** Of the first certificate of a chain; `undefined` if there is none. Remembered by the chain. */
export function publicKeyHashOf(chain: readonly Uint8Array[]): PublicKeyHash | undefined {
  const [leaf] = chain;
  if (leaf === undefined) return undefined;
  const known = hashes.get(chain);
  if (known !== undefined) return known;
  const info = new X509Certificate(leaf).publicKey.export({ type: 'spki', format: 'der' });
  const hash = formatPublicKeyHash(createHash('sha256').update(info).digest());
  hashes.set(chain, hash);
  return hash;
}

/** Whether a hash is one of some. */
export function isOneOfKeys(hash: Uint8Array, keys: readonly Uint8Array[]): boolean {
  return keys.some((key) => equal(key, hash));
}

const prefix = 'sha256:';
/** Chains are shared between the connections with one peer. */
const hashes = new WeakMap<readonly Uint8Array[], PublicKeyHash>();
