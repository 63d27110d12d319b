import type pg from 'pg';
import type { Logger } from 'pino';
import { setTimeout as delay } from 'node:timers/promises';
import { queriesOver } from '../../../database/dialect.ts';
import { CommitUnknownError, StoreError } from '../../../database/errors.ts';
import { executeInOrder, executeOn, query } from '../../../database/postgres/client.ts';
import { ChannelListener } from '../../../database/postgres/listener.ts';
import {
  closePools,
  createPools,
  type Pools,
  preparePostgres,
  withClient,
} from '../../../database/postgres/pools.ts';
import { bootstrap, type Bootstrapped } from '../bootstrap.ts';
import type { NewStore, StoreOptions } from '../options.ts';
import { beginNewEpoch, type Restored, type RestoreOptions } from '../restore.ts';
import { type Session, TransactionRunner } from '../runner.ts';
import type { Schema } from '../schema.ts';
import type { Store } from '../store.ts';
import type { Queries, Transaction } from '../transaction.ts';
import type { Head } from '../transaction-scope.ts';
import { agrees, Witness } from '../witness.ts';
import { beginAlone, feedChannel, postgresSession } from './session.ts';

/** A store on a PostgreSQL server, for any number of replicas. */
export class PostgresStore implements Store {
  readonly kind = 'postgres';
  readonly queries: Queries;
  readonly #log: Logger;
  readonly #writers: pg.Pool;
  readonly #readers: pg.Pool;
  readonly #witness: Witness;
  readonly #runner: TransactionRunner;
  readonly #listener: ChannelListener;
  #closed: Promise<void> | undefined;

  private constructor(pools: Pools, options: StoreOptions, found: Bootstrapped) {
    this.#log = options.log;
    this.#writers = pools.writers;
    this.#readers = pools.readers;
    this.queries = queriesOver<Schema>('postgres', executeOn(pools.readers));
    this.#witness = new Witness(options.witnessPath);
    this.#runner = new TransactionRunner({
      ...found,
      now: options.now,
      log: options.log,
      rowLocks: true,
      witness: this.#witness,
      onCommit: options.onCommit,
    });
    this.#listener = new ChannelListener({
      config: pools.config,
      channel: feedChannel,
      log: options.log,
      onWake: () => {
        this.#runner.wake();
      },
    });
  }

  /** See `openStore`; with `create`, `initialiseStore`. */
  static async open(options: StoreOptions, create?: NewStore): Promise<PostgresStore> {
    const pools = createPools(options.url, options.log);
    try {
      const found = await preparePostgres<Schema, Bootstrapped>(pools, options.log, (queries) =>
        bootstrap(queries, 'postgres', options, create),
      );
      const store = new PostgresStore(pools, options, found);
      await store.#listener.start();
      return store;
    } catch (error) {
      await closePools(pools);
      throw error;
    }
  }

  get problem(): string | undefined {
    return this.#runner.problem ?? this.#listener.problem;
  }

  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
    return this.#runner.run((use) => this.#withSession(use), work);
  }

  snapshot<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    return withClient(this.#readers, async (client) => {
      // Long queries are what it is for, and pauses between them.
      await query(
        client,
        'begin isolation level repeatable read read only; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0',
      );
      try {
        return await work(queriesOver<Schema>('postgres', executeInOrder(client)));
      } finally {
        await query(client, 'rollback');
      }
    });
  }

  /** Accepts a store that lost commits. What is open has to be opened anew afterwards. */
  restore(options: RestoreOptions): Promise<Restored> {
    return this.#runner.run(
      (use) => this.#withSession(use),
      (transaction) => beginNewEpoch(transaction, options),
      true,
    );
  }

  onFeed(wake: () => void): () => void {
    return this.#runner.onFeed(wake);
  }

  backup(): Promise<void> {
    return Promise.reject(
      new StoreError('PostgreSQL is backed up by its own tools, such as pg_dump'),
    );
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#runner.idle();
    this.#witness.flush();
    await Promise.all([this.#listener.close(), this.#writers.end(), this.#readers.end()]);
  }

  #withSession<T>(use: (session: Session) => Promise<T>): Promise<T> {
    return withClient(this.#writers, (client) =>
      use(postgresSession(client, (start, head, cause) => this.#resolve(start, head, cause))),
    );
  }

  /**
   * The answer to a commit was lost. Once the lock is ours, whoever held it has ended, one way or the
   * other, and the audit log says which.
   */
  async #resolve(start: Head, head: Head, cause: unknown): Promise<void> {
    const unknown = new CommitUnknownError('it is not known whether a commit took place', {
      cause,
    });
    if (head.seq === start.seq) throw unknown;
    for (let attempt = 0; attempt < resolveAttempts; attempt += 1) {
      let found;
      try {
        found = await withClient(this.#writers, async (client) => {
          await query(client, beginAlone);
          const { rows } = await query(client, 'select seq, hash from audit where seq = $1', [
            head.seq,
          ]);
          await query(client, 'rollback');
          return rows[0] as Head | undefined;
        });
      } catch (error) {
        this.#log.warn({ err: error }, 'the outcome of a commit is not known yet');
        await delay(resolveDelayMs);
        continue;
      }
      if (agrees(head, found)) return;
      throw new StoreError('the store went away before a commit took place', { cause });
    }
    throw unknown;
  }
}

const resolveAttempts = 20;
const resolveDelayMs = 250;
