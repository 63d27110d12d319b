import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { type Kysely, sql } from 'kysely';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { type Execute, queriesOver } from '../dialect.ts';
import { isDiskFull, isFatalForSqlite, SqliteError, StoreError } from '../errors.ts';
import { openForReading } from './database.ts';
import { describeFailure } from './failure.ts';
import {
  createDatabaseFile,
  databasePath,
  lockForProcess,
  type ProcessLock,
  requireDatabaseFile,
} from './files.ts';
import { FreeSpace } from './free-space.ts';
import { Statements } from './statements.ts';
import { WriterConnection } from './writer-connection.ts';

export interface SqliteDatabaseOptions {
  /** `sqlite:PATH` */
  readonly url: string;
  readonly log: Logger;
  /** What to say of a file that is not there; absent: it is made. */
  readonly missing?: string;
  /** Report a problem when the disk has less left. Default 64 MiB. */
  readonly minFreeBytes?: number | undefined;
  /** A write failed in a way after which nothing is sure. Default: the process ends. */
  readonly onFatal?: ((error: Error) => void) | undefined;
}

/**
 * A database in one file of this machine, for one process: a thread that writes, a connection that
 * reads, a lock against other processes, and an eye on the disk.
 */
export class SqliteDatabase<Schema> {
  readonly path: string;
  /** Each sees the last commit. */
  readonly reads: Kysely<Schema>;
  /** On the writing connection: one transaction at a time is for the caller to see to. */
  readonly writes: Kysely<Schema>;
  readonly #lock: ProcessLock;
  readonly #writer: WriterConnection;
  readonly #reader: DatabaseSyncInstance;
  readonly #space: FreeSpace;

  private constructor(opened: Opened) {
    this.path = opened.path;
    this.#lock = opened.lock;
    this.#writer = opened.writer;
    this.#space = opened.space;
    this.writes = queriesOver<Schema>('sqlite', writing(opened));
    this.#reader = openForReading(opened.path);
    this.reads = queriesOver<Schema>('sqlite', reading(this.#reader, opened.fatal));
  }

  /**
   * Opens a database, then runs `prepare` in a transaction, which brings the schema up to date. Rejects
   * with {@link StoreError} if it is in use, damaged, or cannot be read.
   */
  static async open<Schema, T>(
    options: SqliteDatabaseOptions,
    prepare: (queries: Kysely<Schema>) => Promise<T>,
  ): Promise<{ readonly database: SqliteDatabase<Schema>; readonly prepared: T }> {
    const path = databasePath(options.url);
    if (options.missing === undefined) createDatabaseFile(path);
    else requireDatabaseFile(path, options.missing);
    const lock = lockForProcess(path);
    let writer;
    let space;
    try {
      const fatal = fatalOf(options);
      if (statSync(path).size <= maxCheckedBytes) checkIntegrity(path);
      writer = await openWriter(path, fatal);
      space = await FreeSpace.watch(dirname(path), options.minFreeBytes ?? defaultMinFreeBytes);
      const database = new SqliteDatabase<Schema>({ path, lock, writer, space, fatal });
      const prepared = await database.#prepare(prepare);
      return { database, prepared };
    } catch (error) {
      space?.stop();
      await writer?.close().catch(() => undefined);
      lock.release();
      throw asStoreError(path, error);
    }
  }

  /** Why nothing should be written now: the disk is (almost) full. */
  get problem(): string | undefined {
    return this.#space.problem;
  }

  /** Begins a transaction of {@link writes}. */
  begin(): Promise<void> {
    return this.#run('begin immediate');
  }

  /** Resolves when the transaction is on disk; a refused one is rolled back. */
  async commit(): Promise<void> {
    try {
      await this.#run('commit');
      this.#space.roomAgain();
    } catch (error) {
      // A commit that is refused, by a foreign key for one, leaves the transaction open.
      await this.#run('rollback').catch(() => undefined);
      throw error;
    }
  }

  rollback(): Promise<void> {
    return this.#run('rollback');
  }

  /** To be called once no transaction is under way. */
  async close(): Promise<void> {
    this.#space.stop();
    this.#reader.close();
    await this.#writer.close();
    this.#lock.release();
  }

  async #run(text: string): Promise<void> {
    await sql.raw(text).execute(this.writes);
  }

  async #prepare<T>(work: (queries: Kysely<Schema>) => Promise<T>): Promise<T> {
    try {
      await this.begin();
      try {
        const result = await work(this.writes);
        await this.commit();
        return result;
      } catch (error) {
        await this.rollback().catch(() => undefined);
        throw error;
      }
    } catch (error) {
      this.#reader.close();
      throw error;
    }
  }
}

interface Opened {
  readonly path: string;
  readonly lock: ProcessLock;
  readonly writer: WriterConnection;
  readonly space: FreeSpace;
  readonly fatal: (error: Error) => void;
}

async function openWriter(path: string, fatal: (error: Error) => void): Promise<WriterConnection> {
  try {
    return await WriterConnection.open({ path }, fatal);
  } catch (error) {
    throw new StoreError(`${path}: ${describeFailure(error).message}`, { cause: error });
  }
}

/** Faults after which nothing is sure end the process. */
function writing({ writer, space, fatal }: Opened): Execute {
  return async (text, parameters) => {
    try {
      return await writer.execute(text, parameters);
    } catch (error) {
      if (isDiskFull(error)) space.full();
      else if (error instanceof SqliteError && isFatalForSqlite(error)) fatal(error);
      throw error;
    }
  };
}

function reading(database: DatabaseSyncInstance, fatal: (error: Error) => void): Execute {
  const statements = new Statements(database);
  return (text, parameters) => {
    try {
      return Promise.resolve(statements.run(text, parameters));
    } catch (error) {
      const { message, code } = describeFailure(error);
      const failure = new SqliteError(message, code);
      if (isFatalForSqlite(failure)) fatal(failure);
      return Promise.reject(failure);
    }
  };
}

/** Looks for damage at once where that takes no time; large files are for a check of its own. */
function checkIntegrity(path: string): void {
  const database = openForReading(path);
  try {
    const found: unknown = database.prepare('pragma quick_check(1)').get();
    const verdict: unknown =
      typeof found === 'object' && found !== null ? Object.values(found)[0] : undefined;
    if (verdict !== 'ok') throw new StoreError(`${path}: the file is damaged: ${String(verdict)}`);
  } finally {
    database.close();
  }
}

function fatalOf({
  onFatal,
  log,
}: Pick<SqliteDatabaseOptions, 'onFatal' | 'log'>): (error: Error) => void {
  return (
    onFatal ??
    ((error) => {
      log.fatal({ err: error }, 'the store cannot be trusted any more: ending');
      process.exit(1);
    })
  );
}

/** What the database itself has to say, said of its file. */
function asStoreError(path: string, error: unknown): unknown {
  if (error instanceof StoreError) return error;
  const { message, code } = describeFailure(error);
  const ofSqlite = code !== 0 || error instanceof SqliteError;
  return ofSqlite ? new StoreError(`${path}: ${message}`, { cause: error }) : error;
}

const defaultMinFreeBytes = 64 * 1024 * 1024;
const maxCheckedBytes = 64 * 1024 * 1024;
