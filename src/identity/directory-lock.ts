import { DatabaseSync } from '@photostructure/sqlite';

/** Somebody else uses the directory. */
export class DirectoryInUseError extends Error {
  override readonly name = 'DirectoryInUseError';
}

/**
 * Holds a directory against other processes until closed or the process is gone, however it goes.
 * Node can lock no file, SQLite can: the lock is the kernel's, so none is left behind by a crash, and
 * it holds between containers that share a volume, where process ids mean nothing. Nothing is ever
 * written to the file.
 */
export class DirectoryLock {
  readonly #database: InstanceType<typeof DatabaseSync>;

  /**
   * Throws {@link DirectoryInUseError} if somebody has it, any other error if the file cannot be
   * opened for writing.
   */
  constructor(path: string) {
    const database = new DatabaseSync(path);
    try {
      database.exec('PRAGMA busy_timeout = 0');
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if (isBusy(error)) {
        throw new DirectoryInUseError(`${path} is locked: another process uses this identity`, {
          cause: error,
        });
      }
      throw error;
    }
    this.#database = database;
  }

  close(): void {
    this.#database.close();
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

const SQLITE_BUSY = 5;
