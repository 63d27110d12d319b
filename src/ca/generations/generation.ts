import type { Certificate } from '../../pki/index.ts';
import type { SigningKey } from '../keys/key-manager.ts';
import type { CaKind, CaState } from '../store/schema.ts';

/** One generation of a CA of this authority, as last read from the store. */
export interface Generation {
  readonly id: Uint8Array;
  readonly kind: CaKind;
  /** From 1. */
  readonly number: number;
  readonly state: CaState;
  readonly stateVersion: number;
  /** Number of the first trust bundle that has it. */
  readonly publishedIn: number | undefined;
  /** Id of the root that signed it; of issuing CAs. */
  readonly parent: Uint8Array | undefined;
  readonly certificate: Certificate;
  /** DER; see `CaGenerationTable`. */
  readonly crossCertificate: Uint8Array | undefined;
  readonly oldWithNew: Uint8Array | undefined;
  readonly keyRef: string;
}

/** One that signs now, with its key. */
export interface SigningGeneration extends Generation {
  readonly key: SigningKey;
}

/**
 * What this replica signs with. Held in memory; read from the store at start, after each transition
 * made here, and whenever the feed says that the bundle has changed.
 */
export interface Generations {
  /** The one in state `signing`. Throws `ServiceError` (`UNAVAILABLE`) if its key cannot be used. */
  signing(kind: CaKind): SigningGeneration;
  all(): readonly Generation[];
  /** Opens the key of any generation that still has one. */
  keyOf(generation: Generation): Promise<SigningKey>;
  /** What goes behind a leaf of `issuer` in its chain: the issuing CA, then cross certificates if the root is new. */
  chainOf(issuer: Generation): readonly Uint8Array[];
  refresh(): Promise<void>;
  onChange(listener: () => void): () => void;
}
