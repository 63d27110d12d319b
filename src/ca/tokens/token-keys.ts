import type { KeyObject } from 'node:crypto';
import type { SigningKey } from '../keys/key-manager.ts';
import type { TokenKeyState } from '../store/schema.ts';

/** A key that tokens are, or were, signed with. */
export interface TokenKey {
  /** First 8 bytes of SHA-256 over its DER SubjectPublicKeyInfo. */
  readonly id: Uint8Array;
  readonly publicKey: KeyObject;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Uint8Array;
  readonly state: TokenKeyState;
  readonly keyRef: string;
  readonly createdAt: number;
}

/** The token keys of this authority, held in memory as {@link Generations} are. */
export interface TokenKeys {
  /** The one that signs new tokens. Throws `ServiceError` (`UNAVAILABLE`) if it cannot be used. */
  signing(): { readonly key: TokenKey; readonly signer: SigningKey };
  /** One that tokens may still be signed with: `signing` or `verifying`. */
  find(id: Uint8Array): TokenKey | undefined;
  /** Opens the private half of one that is not retired, to make the text of its tokens again. */
  signerOf(key: TokenKey): Promise<SigningKey>;
  all(): readonly TokenKey[];
  refresh(): Promise<void>;
}
