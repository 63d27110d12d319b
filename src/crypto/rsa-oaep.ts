import { constants, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto';

/** Encrypts a key with RSAES-OAEP, SHA-256 for hash and mask, no label (RFC 8017 §7.1.1). */
export function encryptOaep(publicKey: KeyObject, key: Uint8Array): Uint8Array {
  return publicEncrypt({ key: publicKey, ...oaep }, key);
}

/**
 * What {@link encryptOaep} encrypted, in memory the caller owns and wipes; `undefined` for everything
 * else, with no hint why (RFC 8017 §7.1.2: Manger's attack lives on such hints). OpenSSL looks at the
 * padding in constant time.
 */
export function decryptOaep(privateKey: KeyObject, ciphertext: Uint8Array): Uint8Array | undefined {
  try {
    return privateDecrypt({ key: privateKey, ...oaep }, ciphertext);
  } catch {
    return undefined;
  }
}

const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const;
