import type { Kysely } from 'kysely';
import pg from 'pg';
import type { Logger } from 'pino';
import type { Database, DatabaseOptions } from '../database.ts';
import { queriesOver } from '../dialect.ts';
import { CommitUnknownError, StoreError } from '../errors.ts';
import { migrate } from '../migrate.ts';
import { executeInOrder, executeOn, isLost, query } from './client.ts';
import { closePools, createPools, type Pools, preparePostgres, withClient } from './pools.ts';

/** As `openDatabase`, for a PostgreSQL server. */
export async function openPostgresDatabase<Schema>(
  options: DatabaseOptions,
): Promise<Database<Schema>> {
  const pools = createPools(options.url, options.log);
  const owner = new Ownership(pools, options.log);
  try {
    await owner.take();
    await preparePostgres<Schema, number>(pools, options.log, (queries) =>
      migrate(queries, 'postgres', options.migrations),
    );
  } catch (error) {
    await owner.close();
    await closePools(pools);
    throw error;
  }
  let last: Promise<unknown> = Promise.resolve();
  let closed: Promise<void> | undefined;
  return {
    kind: 'postgres',
    reads: queriesOver<Schema>('postgres', executeOn(pools.readers)),
    transact: (work) => {
      if (closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
      const turn = last.then(() => {
        if (owner.problem !== undefined) throw new StoreError(owner.problem);
        return withClient(pools.writers, (client) => transact(client, work));
      });
      last = turn.catch(() => undefined);
      return turn;
    },
    get problem() {
      return owner.problem;
    },
    close: () => {
      closed ??= last.then(async () => {
        await owner.close();
        await closePools(pools);
      });
      return closed;
    },
  };
}

async function transact<Schema, T>(
  client: pg.ClientBase,
  work: (queries: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  await query(client, 'begin');
  let result;
  try {
    result = await work(queriesOver<Schema>('postgres', executeInOrder(client)));
  } catch (error) {
    await query(client, 'rollback').catch(() => undefined);
    throw error;
  }
  let command;
  try {
    ({ command } = await query(client, 'commit'));
  } catch (error) {
    if (!(error instanceof StoreError) && !isLost(error)) throw error;
    throw new CommitUnknownError('it is not known whether a commit took place', { cause: error });
  }
  // The server answers so to the commit of a transaction one of whose statements had failed.
  if (command !== 'COMMIT') throw new Error('a failed transaction was to be committed');
  return result;
}

/** The right to be the one process that writes: a lock of a session that is kept open. */
class Ownership {
  readonly #pools: Pools;
  readonly #log: Logger;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #closed = false;

  constructor(pools: Pools, log: Logger) {
    this.#pools = pools;
    this.#log = log;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** Rejects with {@link StoreError} if somebody else has it, or the server cannot be reached. */
  async take(): Promise<void> {
    const client = new pg.Client(this.#pools.config);
    const onLost = (error?: Error): void => {
      this.#lost(client, error);
    };
    client.on('error', onLost);
    client.on('end', () => {
      onLost();
    });
    try {
      await client.connect();
      const { rows } = await query(
        client,
        `select pg_try_advisory_lock(${String(ownerLock)}) as taken`,
      );
      const [row] = rows as readonly { readonly taken: boolean }[];
      if (row?.taken !== true) throw new StoreError('another process is using this store');
    } catch (error) {
      await client.end().catch(() => undefined);
      if (error instanceof StoreError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new StoreError(`the store cannot be reached: ${why}`, { cause: error });
    }
    this.#client = client;
    this.#problem = undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  /** Whoever takes the lock meanwhile has the store; until it is ours again nothing is written. */
  #lost(client: pg.Client, error: Error | undefined): void {
    if (this.#closed || client !== this.#client) return;
    this.#client = undefined;
    this.#log.warn({ err: error }, 'lost the store');
    this.#problem = 'the store cannot be reached';
    this.#retry();
  }

  #retry(): void {
    this.#timer = setTimeout(() => {
      this.take().catch((error: unknown) => {
        this.#problem = error instanceof Error ? error.message : String(error);
        if (!this.#closed) this.#retry();
      });
    }, retryMs).unref();
  }
}

/** Any number that nothing else in the database uses. */
const ownerLock = 7_431_160_102;
const retryMs = 1000;
