import { aeadTagBytes, explicitNonceBytesOf, type AeadAlgorithm } from './aead.ts';
import { loadNativeProvider } from './aead-native.ts';
import { nodeProvider } from './aead-node.ts';

/**
 * AEADs as TLS 1.2 records use them
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3 | RFC 5246 §6.2.3.3}): one object
 * per direction of a connection, which counts its records itself.
 *
 * Two providers stand behind one interface. `native` reaches the libcrypto inside the running Node
 * by foreign calls and works in place, in OpenSSL's mode for TLS records; `node` makes one
 * `createCipheriv` or `createDecipheriv` per record. They are interchangeable byte for byte.
 */
export interface RecordCipherProvider {
  readonly name: 'native' | 'node';
  createSealCipher(parameters: RecordCipherParameters): RecordSealCipher;
  createOpenCipher(parameters: RecordCipherParameters): RecordOpenCipher;
}

/** Key material is copied: the caller may wipe it as soon as the call returns. */
export interface RecordCipherParameters {
  readonly aead: AeadAlgorithm;
  readonly key: Uint8Array;
  /** 4 bytes for GCM, 12 for ChaCha20-Poly1305. */
  readonly fixedNonce: Uint8Array;
  /** Of the first record, below 2^64. */
  readonly sequenceNumber: bigint;
}

interface RecordCipher {
  /** Bytes of explicit nonce in front of the ciphertext. */
  readonly explicitNonceBytes: 0 | 8;
  /** Of the next record. */
  readonly sequenceNumber: bigint;
  /** A good moment to do work for the next record that does not need its bytes. */
  prepare(): void;
  /** Forgets the key. Any other call afterwards throws. */
  free(): void;
}

export interface RecordSealCipher extends RecordCipher {
  /**
   * Fills `body`, whose length is that of `plaintext` plus explicit nonce and tag. They may share
   * memory only if `plaintext` already lies where its ciphertext goes.
   */
  seal(type: number, plaintext: Uint8Array, body: Uint8Array): void;
}

export interface RecordOpenCipher extends RecordCipher {
  /**
   * The plaintext of `body`, perhaps as a view of it; `undefined` if it is not authentic, and then
   * nothing of it is left in memory.
   */
  open(type: number, body: Uint8Array): Uint8Array | undefined;
}

/**
 * The provider asked for, or the fastest that works here. Throws when `native` is asked for and
 * does not work.
 */
export function recordCipherProvider(wanted?: 'native' | 'node'): RecordCipherProvider {
  if (wanted === 'node') return nodeProvider;
  const native = loadNativeProvider();
  if (native.ok) return native.provider;
  if (wanted === undefined) return nodeProvider;
  throw new Error('native record ciphers do not work here', { cause: native.reason });
}

/** Records after which a key of this AEAD should be retired (RFC 8446 §5.5, RFC 9325 §4.4). */
export function recordLimit(aead: AeadAlgorithm): number {
  return aead === 'chacha20-poly1305' ? Number.POSITIVE_INFINITY : 2 ** 24;
}

/** Bytes a record's body is longer than its plaintext. */
export function recordExpansion(aead: AeadAlgorithm): number {
  return explicitNonceBytesOf(aead) + aeadTagBytes;
}
