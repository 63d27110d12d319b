import { createCipheriv, createDecipheriv } from 'node:crypto';
import { concat } from '../bytes/bytes.ts';

/** Bytes of the keys that wrap here. */
export const wrappingKeyBytes = 32;

/** Bytes a wrapped key is longer than the key. */
export const keyWrapOverheadBytes = 8;

/**
 * Wraps a key with AES-256
 * ({@link https://www.rfc-editor.org/rfc/rfc3394#section-2.2.1 | RFC 3394 §2.2.1}).
 *
 * @param wrappingKey - 32 bytes.
 * @param key - a multiple of 8 bytes, at least 16.
 */
export function wrapKey(wrappingKey: Uint8Array, key: Uint8Array): Uint8Array {
  const cipher = createCipheriv(algorithm, wrappingKey, initialValue);
  return concat(cipher.update(key), cipher.final());
}

/**
 * The key of {@link wrapKey}, in memory the caller owns and wipes; `undefined` for anything that was
 * not wrapped with this key: the integrity check of RFC 3394 §2.2.3 is part of it.
 */
export function unwrapKey(wrappingKey: Uint8Array, wrapped: Uint8Array): Uint8Array | undefined {
  if (wrapped.length < 16 + keyWrapOverheadBytes || wrapped.length % 8 !== 0) return undefined;
  try {
    // One step: this mode has all of its output in update(), in memory of its own.
    return createDecipheriv(algorithm, wrappingKey, initialValue).update(wrapped);
  } catch {
    // The one thing it can say is that the check failed.
    return undefined;
  }
}

const algorithm = 'id-aes256-wrap';

/** RFC 3394 §2.2.3.1. */
const initialValue = new Uint8Array(8).fill(0xa6);
