import type { KeyObject } from 'node:crypto';
import type { KeyKind } from '../../crypto/keys.ts';

/** A key that the threads know. */
export interface PooledKey {
  readonly number: number;
}

/** Work for the threads of a `CryptoPool`. Keys are known to them by number. */
export type CryptoTask =
  | {
      readonly kind: 'sign';
      readonly key: number;
      /** TLS number. */
      readonly scheme: number;
      readonly contents: readonly Uint8Array[];
    }
  | ({ readonly kind: 'inspect' } & InspectTask)
  | {
      readonly kind: 'verify';
      /** DER, of a key that was judged when it was certified. */
      readonly publicKeyInfo: Uint8Array;
      readonly content: Uint8Array;
      readonly signature: Uint8Array;
    };

/** A request for certificates, to be judged in this order. */
export interface InspectTask {
  readonly token: {
    readonly key: number;
    readonly content: Uint8Array;
    readonly signature: Uint8Array;
  };
  /** PKCS #10, DER. */
  readonly tlsRequest: Uint8Array;
  readonly decryptionRequest: Uint8Array | undefined;
  /** By the current key of who asks, where it is known already. */
  readonly proof:
    | {
        readonly publicKeyInfo: Uint8Array;
        readonly content: Uint8Array;
        readonly signature: Uint8Array;
      }
    | undefined;
}

export type Inspection =
  | {
      readonly ok: true;
      readonly tls: RequestedKey;
      readonly decryption: RequestedKey | undefined;
    }
  | {
      readonly ok: false;
      /** `token_forged`, `proof_wrong`, or the reason of a `CertificateError`. */
      readonly problem: string;
    };

/** A public key whose holder has proven to have the private one. */
export interface RequestedKey {
  /** DER `SubjectPublicKeyInfo`. */
  readonly publicKeyInfo: Uint8Array;
  /** SHA-256 over it. */
  readonly keyHash: Uint8Array;
  readonly keyIdentifier: Uint8Array;
  readonly kind: KeyKind;
  /** Of an RSA modulus; 0 for other keys. */
  readonly bits: number;
}

export type CryptoAnswer =
  | { readonly kind: 'signed'; readonly signatures: readonly Uint8Array[] }
  | { readonly kind: 'inspected'; readonly inspection: Inspection }
  | { readonly kind: 'verified'; readonly ok: boolean }
  | { readonly kind: 'failed'; readonly problem: string };

/** What a thread is told. Messages are handled in order. */
export type CryptoMessage =
  | { readonly type: 'key'; readonly number: number; readonly key: KeyObject }
  | { readonly type: 'forget'; readonly number: number }
  | { readonly type: 'work'; readonly id: number; readonly tasks: readonly CryptoTask[] };

/** One answer to each task of a message. */
export interface CryptoAnswers {
  readonly id: number;
  readonly answers: readonly CryptoAnswer[];
}
