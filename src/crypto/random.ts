import { randomBytes as nodeRandomBytes } from 'node:crypto';

/** Cryptographically strong bytes, in memory of their own. */
export function randomBytes(length: number): Uint8Array {
  return nodeRandomBytes(length);
}
