import type { Logger } from 'pino';
import type { Generations } from './generations/generation.ts';
import type { KeyManager } from './keys/key-manager.ts';
import type { Store } from './store/store.ts';
import type { BatchWriter } from './write/operation.ts';

/** What the parts of one authority replica share. */
export interface AuthorityContext {
  readonly trustDomain: string;
  /** Of the store: 4 random bytes, hex; anew after a restore. */
  readonly epoch: string;
  readonly replicaId: string;
  readonly store: Store;
  readonly writer: BatchWriter;
  readonly keys: KeyManager;
  readonly generations: Generations;
  /** host:port of the enrolment service, as hosts reach it. */
  readonly addresses: readonly string[];
  readonly now: () => Date;
  readonly random: (length: number) => Uint8Array;
  readonly log: Logger;
}

/** Who makes a call, as far as it was proven. */
export interface Caller {
  /** For audit: `owner` (unix socket), or a SPIFFE ID, or `bundle:` and a batch id. */
  readonly name: string;
  readonly source: string;
}
