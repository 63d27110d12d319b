import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { sql } from 'kysely';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { bootstrap, type Bootstrapped } from '../bootstrap.ts';
import { type Execute, queriesOver } from '../dialect.ts';
import { isDiskFull, isFatalForSqlite, SqliteError } from '../errors.ts';
import { type NewStore, StoreError, type StoreOptions } from '../options.ts';
import { beginNewEpoch, type Restored, type RestoreOptions } from '../restore.ts';
import { type Session, TransactionRunner } from '../runner.ts';
import type { Store } from '../store.ts';
import type { Queries, Transaction } from '../transaction.ts';
import { Witness } from '../witness.ts';
import { backUp } from './backup.ts';
import { openForReading } from './database.ts';
import { describeFailure } from './failure.ts';
import {
  createDatabaseFile,
  databasePath,
  lockForProcess,
  type ProcessLock,
  requireDatabaseFile,
} from './files.ts';
import { readSnapshot } from './snapshot.ts';
import { FreeSpace } from './free-space.ts';
import { Statements } from './statements.ts';
import { WriterConnection } from './writer-connection.ts';

/** A store in one file of this machine, for one process. */
export class SqliteStore implements Store {
  readonly kind = 'sqlite';
  readonly queries: Queries;
  readonly #path: string;
  readonly #lock: ProcessLock;
  readonly #writer: WriterConnection;
  readonly #reader: DatabaseSyncInstance;
  readonly #witness: Witness;
  readonly #space: FreeSpace;
  readonly #runner: TransactionRunner;
  readonly #session: Session;
  #closed: Promise<void> | undefined;

  private constructor(opened: Opened, options: StoreOptions, found: Bootstrapped) {
    this.#path = opened.path;
    this.#lock = opened.lock;
    this.#writer = opened.writer;
    this.#session = opened.session;
    this.#space = opened.space;
    this.#reader = openForReading(opened.path);
    this.queries = reading(this.#reader, opened.fatal);
    this.#witness = new Witness(options.witnessPath ?? `${opened.path}.witness`);
    this.#runner = new TransactionRunner({
      ...found,
      now: options.now,
      log: options.log,
      rowLocks: false,
      witness: this.#witness,
      onCommit: options.onCommit,
    });
  }

  /** See `openStore`; with `create`, `initialiseStore`. */
  static async open(options: StoreOptions, create?: NewStore): Promise<SqliteStore> {
    const path = databasePath(options.url);
    if (create === undefined) requireDatabaseFile(path);
    else createDatabaseFile(path);
    const lock = lockForProcess(path);
    let writer;
    let space;
    try {
      const fatal = fatalOf(options);
      if (statSync(path).size <= maxCheckedBytes) checkIntegrity(path);
      writer = await openWriter(path, fatal);
      space = await FreeSpace.watch(dirname(path), options.minFreeBytes ?? defaultMinFreeBytes);
      const session = sessionOn(writer, space, fatal);
      const found = await inTransaction(session, () =>
        bootstrap(session.queries, 'sqlite', options, create),
      );
      return new SqliteStore({ path, lock, writer, space, session, fatal }, options, found);
    } catch (error) {
      space?.stop();
      await writer?.close().catch(() => undefined);
      lock.release();
      throw asStoreError(path, error);
    }
  }

  get problem(): string | undefined {
    return this.#runner.problem ?? this.#space.problem;
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
    return this.#runner.run((use) => use(this.#session), work);
  }

  snapshot<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    return readSnapshot(this.#path, work);
  }

  /** Accepts a store that lost commits. What is open has to be opened anew afterwards. */
  restore(options: RestoreOptions): Promise<Restored> {
    return this.#runner.run(
      (use) => use(this.#session),
      (transaction) => beginNewEpoch(transaction, options),
      true,
    );
  }

  onFeed(wake: () => void): () => void {
    return this.#runner.onFeed(wake);
  }

  backup(path: string): Promise<void> {
    return backUp(this.#path, path);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#runner.idle();
    this.#space.stop();
    this.#witness.flush();
    this.#reader.close();
    await this.#writer.close();
    this.#lock.release();
  }
}

interface Opened {
  readonly path: string;
  readonly lock: ProcessLock;
  readonly writer: WriterConnection;
  readonly space: FreeSpace;
  readonly session: Session;
  readonly fatal: (error: Error) => void;
}

async function openWriter(path: string, fatal: (error: Error) => void): Promise<WriterConnection> {
  try {
    return await WriterConnection.open({ path }, fatal);
  } catch (error) {
    throw new StoreError(`${path}: ${describeFailure(error).message}`, { cause: error });
  }
}

/** The session on the writing connection. Faults after which nothing is sure end the process. */
function sessionOn(
  writer: WriterConnection,
  space: FreeSpace,
  fatal: (error: Error) => void,
): Session {
  const execute: Execute = async (text, parameters) => {
    try {
      return await writer.execute(text, parameters);
    } catch (error) {
      if (isDiskFull(error)) space.full();
      else if (error instanceof SqliteError && isFatalForSqlite(error)) fatal(error);
      throw error;
    }
  };
  const queries = queriesOver('sqlite', execute);
  const run = async (text: string): Promise<void> => {
    await sql.raw(text).execute(queries);
  };
  return {
    queries,
    begin: () => run('begin immediate'),
    announce: () => Promise.resolve(),
    commit: async () => {
      try {
        await run('commit');
        space.roomAgain();
      } catch (error) {
        // A commit that is refused, by a foreign key for one, leaves the transaction open.
        await run('rollback').catch(() => undefined);
        throw error;
      }
    },
    rollback: () => run('rollback'),
  };
}

async function inTransaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.begin();
  try {
    const result = await work();
    await session.commit({ seq: 0, hash: noHash }, { seq: 0, hash: noHash });
    return result;
  } catch (error) {
    await session.rollback().catch(() => undefined);
    throw error;
  }
}

function reading(database: DatabaseSyncInstance, fatal: (error: Error) => void): Queries {
  const statements = new Statements(database);
  const execute: Execute = (text, parameters) => {
    try {
      return Promise.resolve(statements.run(text, parameters));
    } catch (error) {
      const { message, code } = describeFailure(error);
      const failure = new SqliteError(message, code);
      if (isFatalForSqlite(failure)) fatal(failure);
      return Promise.reject(failure);
    }
  };
  return queriesOver('sqlite', execute);
}

/** Looks for damage at once where that takes no time; `sidekey authority check` looks at any size. */
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

function fatalOf({ onFatal, log }: StoreOptions): (error: Error) => void {
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
const noHash = new Uint8Array(32);
