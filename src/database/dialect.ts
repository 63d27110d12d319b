import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';

/** The databases that are spoken. */
export type DatabaseKind = 'sqlite' | 'postgres';

/** What a statement answered. */
export interface StatementResult {
  readonly rows: readonly unknown[];
  /** Of a statement that changes rows. */
  readonly changes?: number;
}

/** Runs one statement, wherever the database is. */
export type Execute = (sql: string, parameters: readonly unknown[]) => Promise<StatementResult>;

/**
 * A kysely instance over something that runs statements. Who begins and ends transactions is the
 * room that uses it, not kysely.
 */
export function queriesOver<Schema>(kind: DatabaseKind, execute: Execute): Kysely<Schema> {
  const createDriver = (): Driver => new ExecuteDriver(new ExecuteConnection(execute));
  const dialect: Dialect =
    kind === 'sqlite'
      ? {
          createDriver,
          createQueryCompiler: () => new SqliteQueryCompiler(),
          createAdapter: () => new SqliteAdapter(),
          createIntrospector: (database) => new SqliteIntrospector(database),
        }
      : {
          createDriver,
          createQueryCompiler: () => new PostgresQueryCompiler(),
          createAdapter: () => new PostgresAdapter(),
          createIntrospector: (database) => new PostgresIntrospector(database),
        };
  return new Kysely<Schema>({ dialect });
}

class ExecuteDriver implements Driver {
  readonly #connection: ExecuteConnection;

  constructor(connection: ExecuteConnection) {
    this.#connection = connection;
  }

  async init(): Promise<void> {
    // Opened by whoever made the dialect.
  }

  acquireConnection(): Promise<DatabaseConnection> {
    return Promise.resolve(this.#connection);
  }

  beginTransaction(): Promise<void> {
    return Promise.reject(new Error(ownTransactions));
  }

  commitTransaction(): Promise<void> {
    return Promise.reject(new Error(ownTransactions));
  }

  rollbackTransaction(): Promise<void> {
    return Promise.reject(new Error(ownTransactions));
  }

  async releaseConnection(): Promise<void> {
    // There is only the one.
  }

  async destroy(): Promise<void> {
    // Closed by whoever opened it.
  }
}

class ExecuteConnection implements DatabaseConnection {
  readonly #execute: Execute;

  constructor(execute: Execute) {
    this.#execute = execute;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changes } = await this.#execute(query.sql, query.parameters);
    // What a row is, is said by the query that asks for it.
    return {
      rows: rows as R[],
      ...(changes === undefined ? {} : { numAffectedRows: BigInt(changes) }),
    };
  }

  // eslint-disable-next-line require-yield -- an iterator by its interface, refused at the first step
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    await Promise.reject(new Error('read pages: a stream would hold its snapshot between steps'));
  }
}

const ownTransactions = 'use the transactions of whoever opened the database';
