import type { Logger } from 'pino';
import type { Distribution } from '../pki/index.ts';
import type { SigningGeneration } from './generations/generation.ts';
import { loadGenerations } from './generations/live-generations.ts';
import type { IssuingContext } from './issue/issuing-context.ts';
import { createLeafSigner } from './issue/leaf-signer.ts';
import type { CryptoPool } from './keys/crypto-pool.ts';
import type { KeyManager } from './keys/key-manager.ts';
import { readMeta } from './store/meta.ts';
import type { Store } from './store/store.ts';
import { loadTokenKeys } from './tokens/live-token-keys.ts';
import { createBatchWriter } from './write/batch-writer.ts';

export interface LiveAuthorityOptions {
  readonly store: Store;
  readonly keys: KeyManager;
  readonly pool: CryptoPool;
  readonly replicaId: string;
  readonly addresses: readonly string[];
  /** Where the state of an issuer's certificates can be asked for. */
  readonly distributionOf: (issuer: SigningGeneration) => Distribution | undefined;
  readonly maxQueued?: number;
  readonly now: () => Date;
  readonly random: (length: number) => Uint8Array;
  readonly log: Logger;
}

/** Store, keys and write path of a replica, read and open. */
export interface LiveAuthority {
  readonly context: IssuingContext;
  /** Reads again what signs and verifies. */
  refresh(): Promise<void>;
  /** Finishes the changes that wait, then closes the keys and the store. */
  close(): Promise<void>;
}

export async function loadAuthority(options: LiveAuthorityOptions): Promise<LiveAuthority> {
  const { store, keys, pool, now, random, log } = options;
  const { queries } = store;
  const { trustDomain, epoch } = await readMeta(queries);
  const generations = await loadGenerations({ queries, keys, log });
  const tokenKeys = await loadTokenKeys({ queries, keys, pool, log });
  const { maxQueued } = options;
  const writer = createBatchWriter({
    store,
    log,
    ...(maxQueued === undefined ? {} : { maxQueued }),
  });
  const context: IssuingContext = {
    trustDomain,
    epoch,
    replicaId: options.replicaId,
    store,
    writer,
    keys,
    pool,
    generations,
    tokenKeys,
    leaves: createLeafSigner(generations, options.distributionOf),
    addresses: options.addresses,
    now,
    random,
    log,
  };
  return {
    context,
    refresh: async () => {
      await generations.refresh();
      await tokenKeys.refresh();
    },
    close: async () => {
      await writer.close();
      await keys.close();
      await pool.close();
      await store.close();
    },
  };
}
