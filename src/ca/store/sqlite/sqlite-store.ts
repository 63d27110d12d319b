import { bootstrap, type Bootstrapped } from '../bootstrap.ts';
import { StoreError } from '../../../database/errors.ts';
import { readSnapshot } from '../../../database/sqlite/snapshot.ts';
import { SqliteDatabase } from '../../../database/sqlite/sqlite-database.ts';
import type { NewStore, StoreOptions } from '../options.ts';
import { beginNewEpoch, type Restored, type RestoreOptions } from '../restore.ts';
import { type Session, TransactionRunner } from '../runner.ts';
import type { Schema } from '../schema.ts';
import type { Store } from '../store.ts';
import type { Queries, Transaction } from '../transaction.ts';
import { Witness } from '../witness.ts';
import { backUp } from './backup.ts';

/** A store in one file of this machine, for one process. */
export class SqliteStore implements Store {
  readonly kind = 'sqlite';
  readonly queries: Queries;
  readonly #database: SqliteDatabase<Schema>;
  readonly #witness: Witness;
  readonly #runner: TransactionRunner;
  readonly #session: Session;
  #closed: Promise<void> | undefined;

  private constructor(
    database: SqliteDatabase<Schema>,
    options: StoreOptions,
    found: Bootstrapped,
  ) {
    this.#database = database;
    this.#session = sessionOn(database);
    this.queries = database.reads;
    this.#witness = new Witness(options.witnessPath ?? `${database.path}.witness`);
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
    const { url, log, minFreeBytes, onFatal } = options;
    const { database, prepared } = await SqliteDatabase.open<Schema, Bootstrapped>(
      {
        url,
        log,
        minFreeBytes,
        onFatal,
        ...(create === undefined ? { missing: noStore } : {}),
      },
      (queries) => bootstrap(queries, 'sqlite', options, create),
    );
    return new SqliteStore(database, options, prepared);
  }

  get problem(): string | undefined {
    return this.#runner.problem ?? this.#database.problem;
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
    return this.#runner.run((use) => use(this.#session), work);
  }

  snapshot<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    return readSnapshot(this.#database.path, work);
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
    return backUp(this.#database.path, path);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#runner.idle();
    this.#witness.flush();
    await this.#database.close();
  }
}

function sessionOn(database: SqliteDatabase<Schema>): Session {
  return {
    queries: database.writes,
    begin: () => database.begin(),
    announce: () => Promise.resolve(),
    commit: () => database.commit(),
    rollback: () => database.rollback(),
  };
}

const noStore = 'no store of an authority; "sidekey authority init" makes one';
