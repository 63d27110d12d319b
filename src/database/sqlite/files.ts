import { DatabaseSync } from '@photostructure/sqlite';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StoreError } from '../errors.ts';

/** The database's path without links, so that one store has one lock. */
export function databasePath(url: string): string {
  const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
  if (path === '' || path.startsWith(':') || path.includes('?') || path.includes('\0')) {
    throw new StoreError(`${url}: expected sqlite:PATH`);
  }
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    throw new StoreError(`${dirname(path)}: no such directory, or it cannot be read`);
  }
}

/**
 * Makes an empty database file only its owner can read, and makes its name durable. One that is there
 * is left as it is: it may be what an interrupted start left.
 */
export function createDatabaseFile(path: string): void {
  try {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
  } catch (error) {
    throw new StoreError(`${path}: cannot be created`, { cause: error });
  }
  syncDirectory(dirname(path));
}

/** Files made beside it by SQLite have the mode of the database. Throws if it is not there: `missing` says what to do. */
export function requireDatabaseFile(path: string, missing: string): void {
  if (!existsSync(path)) throw new StoreError(`${path}: ${missing}`);
  chmodSync(path, 0o600);
}

/**
 * Puts a backup in the place of a database. What was there, and the log of changes that belongs to it
 * alone, is gone afterwards. Throws {@link StoreError} if a process has the database open.
 */
export function replaceDatabaseFile(path: string, backup: string): void {
  const lock = lockForProcess(path);
  try {
    const partial = `${path}.partial`;
    copyFileSync(backup, partial);
    chmodSync(partial, 0o600);
    syncFile(partial);
    // Without its log the old file may be useless, and with it the new one would be spoiled: the
    // log goes first.
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
    renameSync(partial, path);
    syncDirectory(dirname(path));
  } catch (error) {
    throw new StoreError(`${backup}: cannot be put in place`, { cause: error });
  } finally {
    lock.release();
  }
}

export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

export function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Held by the one process that has the store open; the kernel lets go of it however that ends. */
export interface ProcessLock {
  release(): void;
}

/** Throws {@link StoreError} if another process, or this one, has it. */
export function lockForProcess(path: string): ProcessLock {
  const lockPath = `${path}.lock`;
  if (!existsSync(lockPath)) closeSync(openSync(lockPath, 'a', 0o600));
  const lock = new DatabaseSync(lockPath, { timeout: 0 });
  try {
    // SQLite's own lock on a file that never holds anything.
    lock.exec('pragma journal_mode = memory; begin exclusive');
  } catch {
    lock.close();
    throw new StoreError(`${path}: another process is using this store`);
  }
  return {
    release: () => {
      lock.close();
    },
  };
}
