import pg from 'pg';
import type { Logger } from 'pino';
import { setTimeout as delay } from 'node:timers/promises';
import { bootstrap, type Bootstrapped } from '../bootstrap.ts';
import { queriesOver } from '../dialect.ts';
import { type NewStore, StoreError, type StoreOptions } from '../options.ts';
import { beginNewEpoch, type Restored, type RestoreOptions } from '../restore.ts';
import { type Session, TransactionRunner } from '../runner.ts';
import { CommitUnknownError, type Store } from '../store.ts';
import type { Queries, Transaction } from '../transaction.ts';
import type { Head } from '../transaction-scope.ts';
import { agrees, Witness } from '../witness.ts';
import { clientConfig, executeInOrder, executeOn, query, unreachable } from './client.ts';
import { FeedListener } from './listener.ts';
import { beginAlone, postgresSession } from './session.ts';
import { parsePostgresUrl } from './url.ts';

/** A store on a PostgreSQL server, for any number of replicas. */
export class PostgresStore implements Store {
  readonly kind = 'postgres';
  readonly queries: Queries;
  readonly #log: Logger;
  readonly #writers: pg.Pool;
  readonly #readers: pg.Pool;
  readonly #witness: Witness;
  readonly #runner: TransactionRunner;
  readonly #listener: FeedListener;
  #closed: Promise<void> | undefined;

  private constructor(pools: Pools, options: StoreOptions, found: Bootstrapped) {
    this.#log = options.log;
    this.#writers = pools.writers;
    this.#readers = pools.readers;
    this.queries = queriesOver('postgres', executeOn(pools.readers));
    this.#witness = new Witness(options.witnessPath);
    this.#runner = new TransactionRunner({
      ...found,
      now: options.now,
      log: options.log,
      rowLocks: true,
      witness: this.#witness,
      onCommit: options.onCommit,
    });
    this.#listener = new FeedListener({
      config: pools.config,
      log: options.log,
      onWake: () => {
        this.#runner.wake();
      },
    });
  }

  /** See `openStore`; with `create`, `initialiseStore`. */
  static async open(options: StoreOptions, create?: NewStore): Promise<PostgresStore> {
    const address = parsePostgresUrl(options.url);
    if (address.plaintext) {
      options.log.warn(
        { host: address.host },
        'the connection to the store is not encrypted: sslmode=disable',
      );
    }
    const config = clientConfig(address, {});
    const pools: Pools = {
      config,
      writers: poolOf({ ...config, max: 2 }, options.log),
      readers: poolOf(
        { ...clientConfig(address, { default_transaction_read_only: 'on' }), max: maxReaders },
        options.log,
      ),
    };
    try {
      const found = await withClient(pools.writers, (client) => prepare(client, options, create));
      const store = new PostgresStore(pools, options, found);
      await store.#listener.start();
      return store;
    } catch (error) {
      await Promise.all([pools.writers.end(), pools.readers.end()]);
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
        return await work(queriesOver('postgres', executeInOrder(client)));
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

interface Pools {
  readonly config: pg.ClientConfig;
  readonly writers: pg.Pool;
  readonly readers: pg.Pool;
}

/** Sees that the server can be relied on, and that the schema is there, with other replicas locked out. */
async function prepare(
  client: pg.ClientBase,
  options: StoreOptions,
  create: NewStore | undefined,
): Promise<Bootstrapped> {
  await checkServer(client, options.log);
  await query(client, `begin; select pg_advisory_xact_lock(${String(schemaLock)})`);
  try {
    const connection = queriesOver('postgres', executeInOrder(client));
    const found = await bootstrap(connection, 'postgres', options, create);
    await query(client, 'commit');
    return found;
  } catch (error) {
    await query(client, 'rollback').catch(() => undefined);
    throw error instanceof StoreError
      ? error
      : new StoreError(`the store cannot be prepared: ${messageOf(error)}`, { cause: error });
  }
}

async function checkServer(client: pg.ClientBase, log: Logger): Promise<void> {
  const { rows } = await query(
    client,
    `select current_setting('server_version_num') as version, current_setting('fsync') as fsync,
      current_setting('server_encoding') as encoding,
      current_setting('full_page_writes') as pages, pg_is_in_recovery() as standby`,
  );
  const { version, fsync, encoding, pages, standby } = rows[0] as ServerFacts;
  if (Number(version) < minVersion) throw new StoreError('PostgreSQL 13 or newer is needed');
  if (encoding !== 'UTF8') throw new StoreError(`the database has encoding ${encoding}, not UTF8`);
  if (standby) throw new StoreError('the server is a standby: name the primary');
  if (fsync !== 'on' || pages !== 'on') {
    log.warn('the server has fsync or full_page_writes off: a power failure may lose commits');
  }
}

function poolOf(config: pg.PoolConfig, log: Logger): pg.Pool {
  const pool = new pg.Pool({ ...config, idleTimeoutMillis: 60_000 });
  // Of connections nobody uses; the pool drops them by itself.
  pool.on('error', (error) => {
    log.debug({ err: error }, 'an idle connection to the store was lost');
  });
  return pool;
}

/** A connection that saw an error that is not a statement's is not used again. */
async function withClient<T>(
  pool: pg.Pool,
  use: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  let client;
  try {
    client = await pool.connect();
  } catch (error) {
    throw unreachable(error);
  }
  let broken = false;
  const onError = (): void => {
    broken = true;
  };
  client.on('error', onError);
  try {
    return await use(client);
  } catch (error) {
    broken ||= error instanceof StoreError;
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface ServerFacts {
  readonly version: string;
  readonly fsync: string;
  readonly encoding: string;
  readonly pages: string;
  readonly standby: boolean;
}

const maxReaders = 8;
const minVersion = 130_000;
/** Any number that nothing else in the database uses. */
const schemaLock = 7_431_160_101;
const resolveAttempts = 20;
const resolveDelayMs = 250;
