import type { Kysely } from 'kysely';
import pg from 'pg';
import type { Logger } from 'pino';
import { queriesOver } from '../dialect.ts';
import { StoreError } from '../errors.ts';
import { clientConfig, executeInOrder, query, unreachable } from './client.ts';
import { parsePostgresUrl } from './url.ts';

/** Connections to one database of a PostgreSQL server. */
export interface Pools {
  readonly config: pg.ClientConfig;
  readonly writers: pg.Pool;
  /** Their sessions refuse to change anything. */
  readonly readers: pg.Pool;
}

/** Connects to nothing yet. Throws {@link StoreError} if the URL cannot be used. */
export function createPools(url: string, log: Logger): Pools {
  const address = parsePostgresUrl(url);
  if (address.plaintext) {
    log.warn(
      { host: address.host },
      'the connection to the store is not encrypted: sslmode=disable',
    );
  }
  const config = clientConfig(address, {});
  return {
    config,
    writers: poolOf({ ...config, max: 2 }, log),
    readers: poolOf(
      { ...clientConfig(address, { default_transaction_read_only: 'on' }), max: maxReaders },
      log,
    ),
  };
}

export async function closePools({ writers, readers }: Pools): Promise<void> {
  await Promise.all([writers.end(), readers.end()]);
}

/**
 * Sees that the server can be relied on, then runs `work`, which brings the schema up to date, in a
 * transaction with all others locked out. Rejects with {@link StoreError}.
 */
export async function preparePostgres<Schema, T>(
  pools: Pools,
  log: Logger,
  work: (queries: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  return await withClient(pools.writers, async (client) => {
    await checkServer(client, log);
    await query(client, `begin; select pg_advisory_xact_lock(${String(schemaLock)})`);
    try {
      const result = await work(queriesOver<Schema>('postgres', executeInOrder(client)));
      await query(client, 'commit');
      return result;
    } catch (error) {
      await query(client, 'rollback').catch(() => undefined);
      throw error instanceof StoreError
        ? error
        : new StoreError(`the store cannot be prepared: ${messageOf(error)}`, { cause: error });
    }
  });
}

/** A connection that saw an error that is not a statement's is not used again. */
export async function withClient<T>(
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
