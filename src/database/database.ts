import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { DatabaseKind } from './dialect.ts';
import { StoreError } from './errors.ts';
import { migrate } from './migrate.ts';
import type { Migration } from './migration.ts';
import { openPostgresDatabase } from './postgres/postgres-database.ts';
import { SqliteDatabase } from './sqlite/sqlite-database.ts';

export interface DatabaseOptions {
  /** `sqlite:PATH`, made if it is not there, or `postgres://USER@HOST:PORT/DATABASE`. */
  readonly url: string;
  /** All there are, in order. */
  readonly migrations: readonly Migration[];
  readonly log: Logger;
  /** Of an SQLite database: a problem is reported when the disk has less left. Default 64 MiB. */
  readonly minFreeBytes?: number;
  readonly onFatal?: (error: Error) => void;
}

/** A database for one process: others, on any host, cannot open it at the same time. */
export interface Database<Schema> {
  readonly kind: DatabaseKind;
  /** For reads; each sees the last commit. */
  readonly reads: Kysely<Schema>;
  /**
   * Runs `work` in a transaction of its own, one at a time, on disk before this resolves. Rejections of
   * `work` roll back. Rejects with `CommitUnknownError` when it cannot be told whether it took place.
   */
  transact<T>(work: (queries: Kysely<Schema>) => Promise<T>): Promise<T>;
  /** Why nothing should be written now; `undefined`: it is well. */
  readonly problem: string | undefined;
  close(): Promise<void>;
}

/** Opens a database and brings its schema up to date. Rejects with {@link StoreError}. */
export async function openDatabase<Schema>(options: DatabaseOptions): Promise<Database<Schema>> {
  if (options.url.startsWith('sqlite:')) return await openSqlite(options);
  if (/^postgres(ql)?:/u.test(options.url)) return await openPostgresDatabase(options);
  throw new StoreError('the store has to be "sqlite:PATH" or "postgres://…"');
}

async function openSqlite<Schema>(options: DatabaseOptions): Promise<Database<Schema>> {
  const { database } = await SqliteDatabase.open<Schema, number>(options, (queries) =>
    migrate(queries, 'sqlite', options.migrations),
  );
  let last: Promise<unknown> = Promise.resolve();
  let closed: Promise<void> | undefined;
  const transact = async <T>(work: (queries: Kysely<Schema>) => Promise<T>): Promise<T> => {
    await database.begin();
    let result;
    try {
      result = await work(database.writes);
    } catch (error) {
      await database.rollback().catch(() => undefined);
      throw error;
    }
    await database.commit();
    return result;
  };
  return {
    kind: 'sqlite',
    reads: database.reads,
    transact: (work) => {
      if (closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
      const turn = last.then(() => transact(work));
      last = turn.catch(() => undefined);
      return turn;
    },
    get problem() {
      return database.problem;
    },
    close: () => {
      closed ??= last.then(() => database.close());
      return closed;
    },
  };
}
