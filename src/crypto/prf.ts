import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { concat, wipe } from '../bytes/bytes.ts';

/** Hashes a TLS 1.2 suite can name for its PRF. */
export type PrfHash = 'sha256' | 'sha384';

/**
 * The pseudorandom function of TLS 1.2,
 * {@link https://www.rfc-editor.org/rfc/rfc5246#section-5 | RFC 5246 §5}:
 * `P_hash(secret, label + seed)`, cut to `length` bytes.
 *
 * @param label - ASCII, without terminator.
 * @returns memory of its own; the caller wipes it.
 */
export function prf(
  hash: PrfHash,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Uint8Array {
  const key = createSecretKey(secret);
  const labelledSeed = concat(Buffer.from(label, 'ascii'), seed);
  // P_hash = HMAC(secret, A(1) + seed) + HMAC(secret, A(2) + seed) + ...
  // where A(0) = seed and A(i) = HMAC(secret, A(i-1))
  const output = new Uint8Array(length);
  let a = hmac(hash, key, labelledSeed);
  for (let offset = 0; ;) {
    const block = hmac(hash, key, a, labelledSeed);
    output.set(block.subarray(0, length - offset), offset);
    offset += block.length;
    wipe(block);
    if (offset >= length) break;
    const next = hmac(hash, key, a);
    wipe(a);
    a = next;
  }
  wipe(a, labelledSeed);
  return output;
}

function hmac(hash: PrfHash, key: KeyObject, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(hash, key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}
