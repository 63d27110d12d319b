import { type NewStore, StoreError, type StoreOptions } from './options.ts';
import type { Restored, RestoreOptions } from './restore.ts';
import { PostgresStore } from './postgres/postgres-store.ts';
import { databasePath, replaceDatabaseFile } from '../../database/sqlite/files.ts';
import { SqliteStore } from './sqlite/sqlite-store.ts';
import type { Store } from './store.ts';

/**
 * Opens the store of an authority, bringing an older schema up to date. Rejects with
 * {@link StoreError} if there is none, it is in use, newer than this program, damaged, or not to be
 * reached.
 */
export function openStore(options: StoreOptions): Promise<Store> {
  return open(options);
}

/** Makes a new store and opens it. Rejects with {@link StoreError} if there is one already. */
export function initialiseStore(options: StoreOptions, store: NewStore): Promise<Store> {
  return open(options, store);
}

/**
 * Accepts a store that was restored from a backup, or whose standby took over without its last
 * commits: begins a new epoch. With `from`, first puts that backup in the place of an SQLite store.
 * The authority has to be stopped, all of its replicas.
 */
export async function restoreStore(
  options: StoreOptions,
  restore: RestoreOptions,
): Promise<Restored> {
  if (restore.from !== undefined) {
    if (!options.url.startsWith('sqlite:')) {
      throw new StoreError('PostgreSQL is restored by its own tools; then run this without a file');
    }
    replaceDatabaseFile(databasePath(options.url), restore.from);
  }
  const store = await open(options);
  try {
    return await store.restore(restore);
  } finally {
    await store.close();
  }
}

async function open(
  options: StoreOptions,
  create?: NewStore,
): Promise<SqliteStore | PostgresStore> {
  if (options.url.startsWith('sqlite:')) return SqliteStore.open(options, create);
  if (/^postgres(ql)?:/.test(options.url)) return PostgresStore.open(options, create);
  throw new StoreError(
    `the store has to be "sqlite:PATH" or "postgres://…", not "${schemeOf(options.url)}"`,
  );
}

/** Only the scheme: the rest of a URL may hold a password. */
function schemeOf(url: string): string {
  return `${url.split(':', 1)[0] ?? ''}:…`;
}
