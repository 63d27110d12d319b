import type { AuthorityContext } from '../context.ts';
import type { CryptoPool } from '../keys/crypto-pool.ts';
import type { LiveTokenKeys } from '../tokens/live-token-keys.ts';
import type { LeafSigner } from './leaf-signer.ts';

/** What operations that issue certificates need besides the context of all. */
export interface IssuingContext extends AuthorityContext {
  readonly pool: CryptoPool;
  readonly tokenKeys: LiveTokenKeys;
  readonly leaves: LeafSigner;
}
