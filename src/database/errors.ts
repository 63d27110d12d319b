/** A store cannot be opened or used: says why and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}

/** The connection went away during a commit: it may or may not have taken place. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError';
}

/** A statement or commit was refused by SQLite. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';
  /** Extended result code ({@link https://www.sqlite.org/rescode.html}). */
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** Whether somebody else was first: a unique constraint said no. */
export function isUniqueViolation(error: unknown): boolean {
  if (error instanceof SqliteError) return sqliteUnique.has(error.code);
  return sqlState(error) === '23505';
}

/** The SQLSTATE of an error PostgreSQL answered with. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined;
  return typeof error.code === 'string' && error.code.length === 5 ? error.code : undefined;
}

/**
 * Whether this process can no longer know what is on disk. After a failed sync the kernel may have
 * dropped the pages it could not write, and a second sync that succeeds says nothing about them.
 */
export function isFatalForSqlite(error: SqliteError): boolean {
  return sqliteFatal.has(error.code) || sqliteFatal.has(error.code & 0xff);
}

/** Whether the disk, or a quota, is full: the transaction was undone and a later one may succeed. */
export function isDiskFull(error: unknown): boolean {
  if (error instanceof SqliteError) return (error.code & 0xff) === sqliteFull;
  return sqlState(error) === '53100';
}

const sqliteFull = 13;
/** SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE. */
const sqliteUnique = new Set([1555, 2067]);
/** SQLITE_IOERR and all its kinds, SQLITE_CORRUPT, SQLITE_NOTADB. */
const sqliteFatal = new Set([10, 11, 26]);
