import type { Kysely } from 'kysely';
import type { AuditTable, FeedTable, Schema } from './schema.ts';

/** Queries against a store. Reads outside of transactions see the last commit. */
export type Queries = Kysely<Schema>;

/**
 * One transaction of the write path. Everything in it becomes durable together, or nothing does.
 * Audit rows and feed entries get their numbers here and are written at the end of the transaction,
 * so that both sequences are without gaps and in the order of commits, whatever number of replicas
 * writes.
 */
export interface Transaction {
  readonly queries: Queries;
  /** The moment of this transaction, ms since 1970; never before that of an earlier one. */
  readonly now: number;
  /**
   * Whether rows can be locked (PostgreSQL): `query.$if(transaction.rowLocks, (q) => q.forUpdate())`.
   * Always in the order token, agent, counter, and by id within each. SQLite has one writer at a time.
   */
  readonly rowLocks: boolean;
  /** Appends to the audit log. */
  audit(entry: AuditEntry): void;
  /** Appends to the feed; answers the entry's number. */
  publish(entry: FeedEntry): Promise<number>;
  /** The next number of a sequence without gaps. */
  next(counter: string): Promise<number>;
  /** Several at once: the first of `count` consecutive numbers. */
  nextMany(counter: string, count: number): Promise<number>;
}

/** What happened, for the audit log; without numbers, hashes and time, which the store adds. */
export interface AuditEntry extends Pick<AuditTable, 'actor' | 'action' | 'subject' | 'outcome'> {
  readonly details?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  /** Hex; absent: of no request. */
  readonly request?: string;
}

export type FeedEntry = Pick<FeedTable, 'type' | 'subject'> & {
  readonly payload?: Readonly<Record<string, string | number>>;
};
