import type { KeyObject } from 'node:crypto';
import type { PooledKey } from './crypto-protocol.ts';

export type AuthorityKeyType = 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519';

/**
 * Where the authority's private keys live: files, PKCS #11, or one more module for a KMS. Keys are
 * known by references, which the store keeps; a reference says nothing about the key.
 */
export interface KeyManager {
  /** Such as `disk` or `pkcs11`; for status and audit. */
  readonly kind: string;
  /** Makes a key and stores it durably before this resolves. */
  generate(
    type: AuthorityKeyType,
  ): Promise<{ readonly ref: string; readonly publicKey: KeyObject }>;
  /** Rejects with {@link KeyManagerError} if there is no such key, or it cannot be read now. */
  open(ref: string): Promise<SigningKey>;
  /** Destroys a key for good. Succeeds if there is none. */
  destroy(ref: string): Promise<void>;
  close(): Promise<void>;
}

/** A private key that signs and shows nothing of itself. */
export interface SigningKey {
  readonly type: AuthorityKeyType;
  readonly publicKey: KeyObject;
  /** As the threads of the pool know it; absent: it is not in this process. */
  readonly pooled?: PooledKey | undefined;
  /**
   * Signs each of `contents`: ECDSA with the curve's SHA-2 as DER, or Ed25519. Many at once, since a
   * batch crosses to another thread or device once. Rejects with {@link KeyManagerError}.
   */
  signAll(contents: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}

/** A key could not be made, read or used. Says which and what to do, never anything of the key. */
export class KeyManagerError extends Error {
  override readonly name = 'KeyManagerError';
}
