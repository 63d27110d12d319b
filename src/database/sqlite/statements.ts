import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import type { StatementResult } from '../dialect.ts';
import { bindable } from './database.ts';

/** Runs statements, compiling each text once. */
export class Statements {
  readonly #database: DatabaseSyncInstance;
  readonly #compiled = new Map<string, Compiled>();

  constructor(database: DatabaseSyncInstance) {
    this.#database = database;
  }

  run(sql: string, parameters: readonly unknown[]): StatementResult {
    const { statement, answersRows } = this.#compile(sql);
    const bound = parameters.map(bindable);
    if (answersRows) return { rows: statement.all(...bound) };
    return { rows: [], changes: statement.run(...bound).changes };
  }

  #compile(sql: string): Compiled {
    const known = this.#compiled.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    const compiled = { statement, answersRows: statement.columns().length > 0 };
    // Statements that insert many rows have as many texts as row counts: the oldest goes.
    if (this.#compiled.size >= maxCompiled) {
      const [oldest] = this.#compiled.keys();
      if (oldest !== undefined) this.#compiled.delete(oldest);
    }
    this.#compiled.set(sql, compiled);
    return compiled;
  }
}

interface Compiled {
  readonly statement: StatementSyncInstance;
  readonly answersRows: boolean;
}

const maxCompiled = 512;
