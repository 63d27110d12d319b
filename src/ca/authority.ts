import type { KeyObject } from 'node:crypto';
import type { AuthorityContext } from './context.ts';

/** What this replica shows at its own listeners. Its key exists in memory only. */
export interface AuthorityCredential {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly privateKey: KeyObject;
  readonly notAfter: Date;
  /** `spiffe://TRUST-DOMAIN/authority/REPLICA` */
  readonly spiffeId: string;
}

/** One replica of the authority at work. */
export interface Authority {
  readonly context: AuthorityContext;
  /** The present one; replaced by itself long before it ends. */
  credential(): AuthorityCredential;
  onCredential(listener: () => void): () => void;
  /** Why nothing is issued now; empty: it is. */
  problems(): readonly string[];
  close(): Promise<void>;
}
