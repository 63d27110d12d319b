import { wipe } from '../bytes/bytes.ts';
import { hash, hashLength } from './hash.ts';

/**
 * The key derivation function of ANSI X9.63 with SHA-256
 * ({@link https://www.secg.org/sec1-v2.pdf | SEC 1 §3.6.1}): SHA-256(secret || counter || sharedInfo) for
 * counters from 1. The result is the caller's to wipe.
 */
export function deriveX963Sha256(
  secret: Uint8Array,
  sharedInfo: Uint8Array,
  bytes: number,
): Uint8Array {
  const key = new Uint8Array(bytes);
  const counter = new Uint8Array(4);
  for (let offset = 0, block = 1; offset < bytes; offset += hashLength.sha256, block += 1) {
    new DataView(counter.buffer).setUint32(0, block);
    const digest = hash('sha256', secret, counter, sharedInfo);
    key.set(digest.subarray(0, bytes - offset), offset);
    wipe(digest);
  }
  return key;
}
