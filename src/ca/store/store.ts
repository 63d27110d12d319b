import type { DatabaseKind } from '../../database/dialect.ts';
import type { Queries, Transaction } from './transaction.ts';

/** Where an authority keeps everything but its keys. */
export interface Store {
  readonly kind: DatabaseKind;
  /** For reads; each sees the last commit. */
  readonly queries: Queries;
  /** Runs `work` with queries that all see one and the same moment, away from everything else. */
  snapshot<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  /**
   * Runs `work` in a transaction of its own, committed with full durability before this resolves.
   * Rejections of `work` roll back. Rejects with {@link CommitUnknownError} when it cannot be told
   * whether the commit took place.
   */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** Called soon after any commit that published to the feed, here or on another replica. */
  onFeed(wake: () => void): () => void;
  /** Why nothing may be issued now: disk (almost) full, store away, clock went backwards. */
  readonly problem: string | undefined;
  /** Writes a consistent copy of an SQLite store to a file; for PostgreSQL `pg_dump` is the tool. */
  backup(path: string): Promise<void>;
  close(): Promise<void>;
}

export { CommitUnknownError } from '../../database/errors.ts';
