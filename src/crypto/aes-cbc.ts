import { createDecipheriv, type KeyObject } from 'node:crypto';
import { concat, wipe } from '../bytes/bytes.ts';

/**
 * The plaintext of AES-256-CBC with PKCS #7 padding, in memory the caller owns; `undefined` if the
 * padding is wrong. There is no integrity in it: whoever tells others which of the two it was, or
 * believes the plaintext without a signature inside, has a padding oracle.
 */
export function openAesCbc(
  key: KeyObject,
  iv: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-cbc', key, iv);
  const start = decipher.update(ciphertext);
  try {
    return concat(start, decipher.final());
  } catch {
    // The one thing final() can say is that the padding is wrong.
    return undefined;
  } finally {
    wipe(start);
  }
}
