import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';

/** The connection that writes: every commit is on disk when it returns. */
export function openForWriting(path: string): DatabaseSyncInstance {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  database.exec(`
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma foreign_keys = on;
    pragma trusted_schema = off;
    pragma cell_size_check = on;
    pragma temp_store = memory;
    pragma cache_size = -65536;
    pragma wal_autocheckpoint = ${String(checkpointPages)};
    pragma journal_size_limit = ${String(maxIdleWalBytes)};
  `);
  return database;
}

/** A connection that sees the last commit and changes nothing. */
export function openForReading(path: string): DatabaseSyncInstance {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs, readOnly: true });
  database.exec('pragma query_only = on; pragma cache_size = -65536; pragma trusted_schema = off');
  return database;
}

/** What a driver calls a value, as SQLite takes it. */
export function bindable(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value);
  return value === undefined ? null : value;
}

const busyTimeoutMs = 5000;
/**
 * The write-ahead log is copied into the database each 16 MiB and keeps that size on disk, so that
 * the sync of a commit need not also write a file's new length.
 */
const checkpointPages = 4096;
const maxIdleWalBytes = 64 * 1024 * 1024;
