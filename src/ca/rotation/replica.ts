import { toHex } from '../../bytes/bytes.ts';
import { verifySignature } from '../../crypto/signatures.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import type { AuthorityContext } from '../context.ts';
import { readGenerations } from '../generations/read-generations.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { CaState } from '../store/schema.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';
import { tryKey } from './make-generations.ts';

export interface ReplicaOptions {
  readonly context: AuthorityContext;
  readonly tokenKeys: TokenKeys;
  readonly version: string;
  /** Number of the issuing CA that this replica signs with and shows itself with. */
  readonly issuing: () => number;
}

/** Tells the other replicas, and the gates, that this one lives and what it can sign with. */
export class ReplicaHeartbeat {
  readonly #options: ReplicaOptions;
  readonly #startedAt: number;
  /** Ids of keys that signed on trial, and at which beat. */
  readonly #usable = new Map<string, number>();
  #beats = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#startedAt = options.context.now().getTime();
  }

  /**
   * Tries keys that are new to it and writes this replica's row. The moment written is that of the
   * store, which never goes back on any replica: it is what the row's age is judged by, whatever this
   * machine's clock says. How far that clock is behind is written beside it.
   */
  async beat(): Promise<void> {
    const { context, version, issuing } = this.#options;
    this.#beats += 1;
    const usable = JSON.stringify(await this.#tryKeys());
    await context.store.transact(async ({ queries, now }) => {
      const { feed } = await queries
        .selectFrom('feed')
        .select((each) => each.fn.max<number | null>('seq').as('feed'))
        .executeTakeFirstOrThrow();
      const row = {
        version,
        heartbeat_at: now,
        issuing_generation: issuing(),
        usable_keys: usable,
        clock_offset_ms: context.now().getTime() - now,
        feed_seq: feed ?? 0,
      };
      await queries
        .insertInto('replica')
        .values({ id: context.replicaId, started_at: this.#startedAt, ...row })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
        .execute();
      await queries
        .deleteFrom('replica')
        .where('heartbeat_at', '<', now - FORGET_MS)
        .execute();
    });
  }

  /** Takes the row away, so that no gate waits for a replica that was stopped. */
  async leave(): Promise<void> {
    const { context } = this.#options;
    await context.store.transact(async ({ queries }) => {
      await queries.deleteFrom('replica').where('id', '=', context.replicaId).execute();
    });
  }

  /** Hex ids of the keys this replica can sign with. */
  async #tryKeys(): Promise<readonly string[]> {
    const { context, tokenKeys } = this.#options;
    const usable: string[] = [];
    for (const generation of await readGenerations(context.store.queries)) {
      if (!tried.includes(generation.state)) continue;
      const name = `${generation.kind} ${String(generation.number)}`;
      const id = toHex(generation.id);
      if (await this.#isUsable(id, name, () => tryKey(context, generation))) usable.push(id);
    }
    await tokenKeys.refresh();
    for (const key of tokenKeys.all()) {
      if (key.state === 'retired') continue;
      const id = toHex(key.id);
      const attempt = async () => {
        const trial = context.random(32);
        const [signature] = await (await tokenKeys.signerOf(key)).signAll([trial]);
        const scheme = defaultScheme('ed25519');
        if (signature && verifySignature(key.publicKey, scheme, trial, signature)) return;
        throw new KeyManagerError(`${key.keyRef} is not the token key ${id}`);
      };
      if (await this.#isUsable(id, `token key ${id}`, attempt)) usable.push(id);
    }
    return usable;
  }

  /** Keys that worked are tried again now and then, those that did not each time. */
  async #isUsable(id: string, name: string, attempt: () => Promise<unknown>): Promise<boolean> {
    const last = this.#usable.get(id);
    if (last !== undefined && this.#beats - last < BEATS_BETWEEN_TRIALS) return true;
    try {
      await attempt();
      this.#usable.set(id, this.#beats);
      return true;
    } catch (error) {
      if (!(error instanceof KeyManagerError)) throw error;
      this.#usable.delete(id);
      this.#options.context.log.warn({ err: error, key: name }, 'authority key cannot be used');
      return false;
    }
  }
}

const tried: readonly CaState[] = ['prepared', 'published', 'signing'];
const BEATS_BETWEEN_TRIALS = 60;
/** A replica that was not heard of for a day is gone. */
const FORGET_MS = 86_400_000;
