import { auditGenesis, auditHash, storableText } from '../audit/chain.ts';
import { insertRows } from './insert-rows.ts';
import type { NewRow } from './schema.ts';
import type { AuditEntry, FeedEntry, Queries, Transaction } from './transaction.ts';

/** Where a store stands: its newest audit entry. */
export interface Head {
  readonly seq: number;
  readonly hash: Uint8Array;
}

/**
 * One transaction under way. The sequences are counted in memory, since whoever got here holds the
 * right to write alone, and go to the tables in {@link finish} with few statements.
 */
export class TransactionScope implements Transaction {
  readonly queries: Queries;
  readonly now: number;
  readonly rowLocks: boolean;
  readonly #counters: Map<string, number>;
  readonly #changed = new Set<string>(['clock']);
  readonly #audit: AuditEntry[] = [];
  readonly #feed: NewRow<'feed'>[] = [];
  readonly #start: Head;

  private constructor(
    queries: Queries,
    counters: Map<string, number>,
    start: Head,
    options: { readonly now: number; readonly rowLocks: boolean },
  ) {
    this.queries = queries;
    this.#counters = counters;
    this.#start = start;
    this.rowLocks = options.rowLocks;
    this.now = Math.max(options.now, counters.get('clock') ?? 0);
    this.#counters.set('clock', this.now);
  }

  /** Reads where the sequences stand, once the right to write is held. */
  static async open(
    queries: Queries,
    options: { readonly now: number; readonly rowLocks: boolean },
  ): Promise<TransactionScope> {
    const [counters, newest] = await Promise.all([
      queries.selectFrom('counter').select(['name', 'value']).execute(),
      queries
        .selectFrom('audit')
        .select(['seq', 'hash'])
        .orderBy('seq', 'desc')
        .limit(1)
        .executeTakeFirst(),
    ]);
    const start = newest ?? { seq: 0, hash: auditGenesis };
    return new TransactionScope(
      queries,
      new Map(counters.map(({ name, value }) => [name, value])),
      start,
      options,
    );
  }

  /** The newest audit entry before this transaction. */
  get start(): Head {
    return this.#start;
  }

  get published(): boolean {
    return this.#feed.length > 0;
  }

  audit(entry: AuditEntry): void {
    this.#audit.push(entry);
  }

  async publish(entry: FeedEntry): Promise<number> {
    const seq = await this.next('feed');
    this.#feed.push({
      seq,
      type: entry.type,
      subject: entry.subject,
      payload: JSON.stringify(entry.payload ?? {}),
      at: this.now,
    });
    return seq;
  }

  next(counter: string): Promise<number> {
    return this.nextMany(counter, 1);
  }

  nextMany(counter: string, count: number): Promise<number> {
    if (!Number.isSafeInteger(count) || count < 1) {
      return Promise.reject(new RangeError(`cannot take ${String(count)} numbers`));
    }
    const first = (this.#counters.get(counter) ?? 0) + 1;
    this.#counters.set(counter, first + count - 1);
    this.#changed.add(counter);
    return Promise.resolve(first);
  }

  /** Writes what was collected; the statements are sent together, in order. Answers the new head. */
  async finish(): Promise<Head> {
    const { rows, head } = this.#auditRows();
    await Promise.all([
      insertRows(this, 'audit', rows),
      insertRows(this, 'feed', this.#feed),
      this.queries
        .insertInto('counter')
        .values([...this.#changed].map((name) => ({ name, value: this.#counters.get(name) ?? 0 })))
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((row) => ({ value: row.ref('excluded.value') })),
        )
        .execute(),
    ]);
    return head;
  }

  #auditRows(): { readonly rows: readonly NewRow<'audit'>[]; readonly head: Head } {
    let { seq, hash } = this.#start;
    const rows = this.#audit.map((entry): NewRow<'audit'> => {
      const row = {
        seq: (seq += 1),
        at: this.now,
        actor: storableText(entry.actor),
        action: storableText(entry.action),
        subject: storableText(entry.subject),
        outcome: entry.outcome,
        request: storableText(entry.request ?? ''),
        details: storableText(JSON.stringify(entry.details ?? {})),
        previous_hash: hash,
      };
      hash = auditHash(row);
      return { ...row, hash };
    });
    if (rows.length > 0) {
      this.#counters.set('audit', seq);
      this.#changed.add('audit');
    }
    return { rows, head: { seq, hash } };
  }
}
