import { createPublicKey } from 'node:crypto';
import type { Logger } from 'pino';
import { equal, toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { CryptoPool } from '../keys/crypto-pool.ts';
import type { PooledKey } from '../keys/crypto-protocol.ts';
import type { KeyManager, SigningKey } from '../keys/key-manager.ts';
import type { Queries } from '../store/transaction.ts';
import type { TokenKey, TokenKeys } from './token-keys.ts';

export interface LiveTokenKeysOptions {
  readonly queries: Queries;
  readonly keys: KeyManager;
  /** Gets the public halves, to verify tokens. */
  readonly pool: CryptoPool;
  readonly log: Logger;
}

/** Token keys as `TokenKeys`, with those that verify known to the threads. */
export interface LiveTokenKeys extends TokenKeys {
  find(id: Uint8Array): PooledTokenKey | undefined;
}

export interface PooledTokenKey extends TokenKey {
  readonly pooled: PooledKey;
}

/** Reads the token keys and opens the one that signs. */
export async function loadTokenKeys(options: LiveTokenKeysOptions): Promise<LiveTokenKeys> {
  const keys = new StoredTokenKeys(options);
  await keys.refresh();
  return keys;
}

class StoredTokenKeys implements LiveTokenKeys {
  readonly #options: LiveTokenKeysOptions;
  #all: readonly TokenKey[] = [];
  /** By id as hex; of keys that verify. */
  #verifying: ReadonlyMap<string, PooledTokenKey> = new Map();
  #signing: { readonly key: TokenKey; readonly signer: SigningKey } | undefined;

  constructor(options: LiveTokenKeysOptions) {
    this.#options = options;
  }

  signing() {
    if (this.#signing !== undefined) return this.#signing;
    throw new ServiceError(
      'UNAVAILABLE',
      'key_unavailable',
      'the key that signs tokens cannot be used now',
      { retryAfterMs: 5000 },
    );
  }

  find(id: Uint8Array): PooledTokenKey | undefined {
    const key = this.#verifying.get(toHex(id));
    const signer = this.#signing;
    if (key === undefined || signer === undefined || !equal(signer.key.id, key.id)) return key;
    // To sign a token again is cheaper than to verify it.
    return { ...key, pooled: signer.signer.pooled ?? key.pooled };
  }

  signerOf(key: TokenKey): Promise<SigningKey> {
    return this.#options.keys.open(key.keyRef);
  }

  all(): readonly TokenKey[] {
    return this.#all;
  }

  async refresh(): Promise<void> {
    const rows = await this.#options.queries
      .selectFrom('token_key')
      .select(['id', 'public_key', 'key_ref', 'state', 'created_at'])
      .orderBy('created_at')
      .execute();
    this.#all = rows.map((row) => ({
      id: row.id,
      publicKey: createPublicKey({ key: Buffer.from(row.public_key), format: 'der', type: 'spki' }),
      publicKeyInfo: row.public_key,
      state: row.state,
      keyRef: row.key_ref,
      createdAt: row.created_at,
    }));
    this.#replaceVerifying();
    const signing = this.#all.find(({ state }) => state === 'signing');
    const signer = signing && (await this.#open(signing));
    this.#signing = signing && signer && { key: signing, signer };
  }

  #replaceVerifying(): void {
    const { pool } = this.#options;
    const before = this.#verifying;
    const verifying = new Map<string, PooledTokenKey>();
    for (const key of this.#all) {
      if (key.state === 'retired') continue;
      const id = toHex(key.id);
      verifying.set(id, { ...key, pooled: before.get(id)?.pooled ?? pool.addKey(key.publicKey) });
    }
    this.#verifying = verifying;
    for (const [id, { pooled }] of before) if (!verifying.has(id)) pool.forgetKey(pooled);
  }

  async #open(key: TokenKey): Promise<SigningKey | undefined> {
    try {
      return await this.signerOf(key);
    } catch (error) {
      const { keyRef } = key;
      this.#options.log.error({ err: error, keyRef }, 'key that signs tokens cannot be opened');
      return undefined;
    }
  }
}
