import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { concat, wipe } from '../bytes/bytes.ts';

/** AEADs of the suites we speak. */
export type AeadAlgorithm = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

/** Bytes of the tag of every AEAD here. */
export const aeadTagBytes = 16;

/** Bytes of each key. */
export const aeadKeyBytes: Readonly<Record<AeadAlgorithm, number>> = {
  'aes-128-gcm': 16,
  'aes-256-gcm': 32,
  'chacha20-poly1305': 32,
};

/** Bytes of the nonce a TLS 1.2 record carries: RFC 5288 §3 sends 8 of them, RFC 7905 §2 none. */
export function explicitNonceBytesOf(aead: AeadAlgorithm): 0 | 8 {
  return aead === 'chacha20-poly1305' ? 0 : 8;
}

/**
 * AES-GCM over a whole message (RFC 5116 §5.1), with the key size of `key`.
 *
 * @param nonce - 12 bytes, never used twice with a key.
 * @returns ciphertext and tag, in memory of their own.
 */
export function sealAesGcm(
  key: KeyObject,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(gcmOf(key), key, nonce, { authTagLength: aeadTagBytes });
  cipher.setAAD(aad);
  const ciphertext = cipher.update(plaintext);
  return concat(ciphertext, cipher.final(), cipher.getAuthTag());
}

/**
 * The plaintext of {@link sealAesGcm}, in memory the caller owns; `undefined` for anything that
 * was not sealed with this key, nonce and additional data.
 */
export function openAesGcm(
  key: KeyObject,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Uint8Array | undefined {
  const end = sealed.length - aeadTagBytes;
  if (end < 0) return undefined;
  const decipher = createDecipheriv(gcmOf(key), key, nonce, { authTagLength: aeadTagBytes });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const plaintext = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
  } catch {
    // The one thing final() of GCM can say is that the tag is wrong.
    wipe(plaintext);
    return undefined;
  }
  return plaintext;
}

function gcmOf(key: KeyObject): 'aes-128-gcm' | 'aes-256-gcm' {
  switch (key.symmetricKeySize) {
    case 16:
      return 'aes-128-gcm';
    case 32:
      return 'aes-256-gcm';
    default:
      throw new RangeError('AES-GCM takes a secret key of 16 or 32 bytes');
  }
}
