import type { Logger } from 'pino';
import type { TlsPolicy } from '../../gen/sidekey/v1/certificate_authority.ts';
import { RevocationIndex } from '../revocation/revocation-index.ts';
import type { FeedType } from '../store/schema.ts';
import type { Store } from '../store/store.ts';
import { currentTlsPolicy } from '../tls-policy/policy.ts';
import { currentBundle, type StoredBundle } from './bundle-document.ts';
import { feedHead, type FeedItem, readFeed } from './feed.ts';

/** Consecutive entries, read and passed on together. */
export interface FeedBatch {
  /** Number of the entry before the first. */
  readonly after: number;
  /** Number of the last. */
  readonly to: number;
  readonly items: readonly FeedItem[];
}

export interface TrustFeedOptions {
  readonly store: Store;
  readonly now: () => Date;
  readonly log: Logger;
  /** Entries kept in memory for those that fell behind; absent: 20,000. */
  readonly maxItems?: number;
}

/**
 * What this replica knows of trust and revocation: the newest bundle and TLS floors, what is
 * revoked, and the last entries of the feed. Read from the store once, then kept up to date by
 * reading what the feed adds, whichever replica wrote it. However many follow, the store is asked
 * once.
 */
export class TrustFeed {
  readonly revocations = new RevocationIndex();
  readonly #options: TrustFeedOptions;
  readonly #maxItems: number;
  readonly #listeners = new Set<(batch: FeedBatch) => void>();
  readonly #batches: FeedBatch[] = [];
  #items = 0;
  #head = 0;
  #oldest = 0;
  #bundle: StoredBundle | undefined;
  #tlsPolicy: TlsPolicy | undefined;
  #advancing: Promise<void> | undefined;
  #again = false;
  #unsubscribe: (() => void) | undefined;
  #problem: string | undefined;

  constructor(options: TrustFeedOptions) {
    this.#options = options;
    this.#maxItems = options.maxItems ?? 20_000;
  }

  /** Reads the state of the store, and follows it from then on. */
  async start(): Promise<void> {
    const { store, now } = this.#options;
    // First the number: what is committed while we read is then read again, which does no harm.
    this.#head = await feedHead(store.queries);
    this.#oldest = this.#head;
    await this.revocations.load(store.queries, this.#head, now().getTime());
    await this.#readMaterial(new Set<FeedType>(['bundle', 'tls_policy']));
    this.#unsubscribe = store.onFeed(() => {
      this.wake();
    });
    await this.advance();
  }

  /** Number of the last entry read. */
  get head(): number {
    return this.#head;
  }

  /** Whoever has less needs a snapshot. */
  get oldest(): number {
    return this.#oldest;
  }

  get bundle(): StoredBundle | undefined {
    return this.#bundle;
  }

  get tlsPolicy(): TlsPolicy | undefined {
    return this.#tlsPolicy;
  }

  /** Why it may be behind the store; `undefined`: nothing is known against it. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The batch that holds the entry behind `position`; `undefined` at the head or before the oldest. */
  batchAfter(position: number): FeedBatch | undefined {
    if (position >= this.#head || position < this.#oldest) return undefined;
    let low = 0;
    let high = this.#batches.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#batches[middle]?.to ?? 0) > position) high = middle;
      else low = middle + 1;
    }
    return this.#batches[low];
  }

  /** Called for every batch, when all of the above knows of it. */
  onBatch(listener: (batch: FeedBatch) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads on soon; also when nothing said that there is something. */
  wake(): void {
    this.advance().then(
      () => {
        this.#problem = undefined;
      },
      (error: unknown) => {
        if (this.#problem === undefined) {
          this.#options.log.warn({ err: error }, 'the feed cannot be read');
        }
        this.#problem = 'the feed cannot be read from the store';
      },
    );
  }

  /** Resolves when everything committed before the call is known here. */
  async advance(): Promise<void> {
    this.#again = true;
    // A run under way may have looked already: then it, or the next, looks again.
    while (this.#isWanted()) {
      this.#advancing ??= this.#readOn().finally(() => {
        this.#advancing = undefined;
      });
      await this.#advancing;
    }
  }

  close(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#listeners.clear();
  }

  async #readOn(): Promise<void> {
    do {
      this.#again = false;
      for (;;) {
        const items = await readFeed(this.#options.store.queries, this.#head, batchItems);
        const [first, last] = [items[0], items.at(-1)];
        if (first === undefined || last === undefined) break;
        if (first.sequence > this.#head + 1) await this.#skipTo(first.sequence - 1);
        await this.#take({ after: this.#head, to: last.sequence, items });
      }
    } while (this.#isWanted());
  }

  // A call of its own, as the compiler takes the field for unchanged across the awaits.
  #isWanted(): boolean {
    return this.#again;
  }

  /** Past entries that were deleted before they were read here: what they told is read from its source. */
  async #skipTo(head: number): Promise<void> {
    await this.revocations.advance(this.#options.store.queries, this.#head, head);
    await this.#readMaterial(new Set<FeedType>(['bundle', 'tls_policy']));
    this.#batches.length = 0;
    this.#items = 0;
    this.#oldest = head;
    this.#head = head;
  }

  async #take(batch: FeedBatch): Promise<void> {
    const { store } = this.#options;
    const types = new Set(batch.items.map(({ type }) => type));
    if (types.has('certificate_revoked') || types.has('agent_revoked')) {
      await this.revocations.advance(store.queries, batch.after, batch.to);
    }
    await this.#readMaterial(types);
    this.#batches.push(batch);
    this.#items += batch.items.length;
    this.#head = batch.to;
    while (this.#items > this.#maxItems) {
      const dropped = this.#batches.shift();
      if (dropped === undefined) break;
      this.#items -= dropped.items.length;
      this.#oldest = dropped.to;
    }
    for (const listener of this.#listeners) listener(batch);
  }

  async #readMaterial(types: ReadonlySet<FeedType>): Promise<void> {
    const { queries } = this.#options.store;
    if (types.has('bundle')) this.#bundle = await currentBundle(queries);
    if (types.has('tls_policy')) this.#tlsPolicy = await currentTlsPolicy(queries);
  }
}

/** What goes into one message, and is held while it is read. */
const batchItems = 500;
