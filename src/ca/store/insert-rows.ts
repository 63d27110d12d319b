import { CompiledQuery } from 'kysely';
import type { NewRow, Schema } from './schema.ts';
import type { Transaction } from './transaction.ts';

/**
 * Inserts rows which all have the same columns. The statement is built once for each number of rows,
 * of which there are few: to build it anew takes longer than to insert them.
 */
export async function insertRows<Table extends keyof Schema>(
  transaction: Pick<Transaction, 'queries' | 'rowLocks'>,
  table: Table,
  rows: readonly NewRow<Table>[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first) as (keyof NewRow<Table>)[];
  const statements: Promise<unknown>[] = [];
  for (let at = 0; at < rows.length;) {
    const chunk = rows.slice(at, at + chunkSize(rows.length - at, transaction.rowLocks));
    const parameters = chunk.flatMap((row) => columns.map((column) => row[column] ?? null));
    const text = statementText(transaction, table, chunk, columns.join());
    statements.push(transaction.queries.executeQuery(CompiledQuery.raw(text, parameters)));
    at += chunk.length;
  }
  await Promise.all(statements);
}

/** A round trip to PostgreSQL costs more than a statement; SQLite keeps each it has seen prepared. */
function chunkSize(left: number, isRemote: boolean): number {
  if (isRemote) return Math.min(left, MAX_ROWS);
  return sizes.find((size) => size <= left) ?? 1;
}

function statementText<Table extends keyof Schema>(
  { queries, rowLocks }: Pick<Transaction, 'queries' | 'rowLocks'>,
  table: Table,
  rows: readonly NewRow<Table>[],
  columns: string,
): string {
  const name = `${rowLocks ? 'postgres' : 'sqlite'} ${table} ${String(rows.length)} ${columns}`;
  const known = texts.get(name);
  if (known !== undefined) return known;
  const text = queries.insertInto(table).values(rows).compile().sql;
  texts.set(name, text);
  return text;
}

/** By store, table, number of rows and columns: all of them are ours, so there is an end to them. */
const texts = new Map<string, string>();
/** Both stores bound the parameters of a statement, SQLite to 32,766. */
const MAX_ROWS = 128;
const sizes = [128, 64, 32, 16, 8, 4, 2] as const;
