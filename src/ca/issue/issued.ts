import type { Properties } from '../tokens/properties.ts';

/** What enrolment and renewal answer with. */
export interface Issued {
  readonly agentId: Uint8Array;
  readonly spiffeId: string;
  /** DER, leaf first, without the root. */
  readonly tlsChain: readonly Uint8Array[];
  /** Empty: none was asked for. */
  readonly decryptionChain: readonly Uint8Array[];
  readonly renewalToken: string;
  readonly generation: number;
  readonly active: boolean;
  readonly properties: Properties;
  /** Nothing was issued: it is the answer of an earlier time again. */
  readonly replayed: boolean;
  readonly late: boolean;
}
