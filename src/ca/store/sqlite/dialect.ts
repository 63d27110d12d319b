import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { StatementResult } from './statements.ts';

/** Runs one statement, wherever the database is. */
export type Execute = (sql: string, parameters: readonly unknown[]) => Promise<StatementResult>;

/** A kysely dialect over one connection. Who begins and ends transactions is the store, not kysely. */
export class SingleConnectionDialect implements Dialect {
  readonly #execute: Execute;

  constructor(execute: Execute) {
    this.#execute = execute;
  }

  createDriver(): Driver {
    return new SingleConnectionDriver(new SingleConnection(this.#execute));
  }

  createQueryCompiler(): SqliteQueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): SqliteAdapter {
    return new SqliteAdapter();
  }

  createIntrospector(database: Kysely<never>): SqliteIntrospector {
    return new SqliteIntrospector(database);
  }
}

class SingleConnectionDriver implements Driver {
  readonly #connection: SingleConnection;

  constructor(connection: SingleConnection) {
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

class SingleConnection implements DatabaseConnection {
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

const ownTransactions = 'use Store.transact';
