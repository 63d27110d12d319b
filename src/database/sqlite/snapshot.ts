import { type Kysely, sql } from 'kysely';
import { queriesOver } from '../dialect.ts';
import { WriterConnection } from './writer-connection.ts';

/** Runs `work` on one moment of a database, in a thread of its own, whoever has it open. */
export async function readSnapshot<Schema, T>(
  path: string,
  work: (queries: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  // Statements that wait are told by the connection itself when its thread dies.
  const connection = await WriterConnection.open({ path, readOnly: true }, () => undefined);
  const queries = queriesOver<Schema>('sqlite', (text, parameters) =>
    connection.execute(text, parameters),
  );
  try {
    await sql.raw('begin').execute(queries);
    return await work(queries);
  } finally {
    await connection.close();
  }
}
