import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { DatabaseKind } from './dialect.ts';
import { StoreError } from './errors.ts';
import { type Migration, postgresStatements, sqliteStatements } from './migration.ts';

/**
 * Brings the schema of an open transaction up to date by `migrations`, all there are, in order, and
 * answers how many steps it took. Throws {@link StoreError} if the schema is newer than this program,
 * or is not what its number says.
 */
export async function migrate<Schema>(
  connection: Kysely<Schema>,
  kind: DatabaseKind,
  migrations: readonly Migration[],
): Promise<number> {
  await sql`create table if not exists schema_step (
    number bigint primary key, name text not null, checksum text not null
  )`.execute(connection);
  const taken =
    await sql<Step>`select number, name, checksum from schema_step order by number`.execute(
      connection,
    );
  for (const step of taken.rows) checkTaken(step, migrations);
  const missing = migrations.slice(taken.rows.length);
  for (const migration of missing) {
    const statements =
      kind === 'sqlite' ? sqliteStatements(migration) : postgresStatements(migration);
    for (const statement of statements) await sql.raw(statement).execute(connection);
    await sql`insert into schema_step (number, name, checksum)
      values (${migration.number}, ${migration.name}, ${checksum(migration)})`.execute(connection);
  }
  return missing.length;
}

function checkTaken(
  { number, name, checksum: found }: Step,
  migrations: readonly Migration[],
): void {
  const migration = migrations[number - 1];
  if (migration === undefined) {
    throw new StoreError(
      `the store has schema ${String(number)} (${name}), newer than this program knows (${String(migrations.length)}): use a newer program`,
    );
  }
  if (found !== checksum(migration)) {
    throw new StoreError(
      `the store's schema ${String(number)} (${name}) is not the one this program knows`,
    );
  }
}

/** Of what both stores share: the guards' and tables' text, not how a store spells a trigger. */
function checksum({ statements, guards }: Migration): string {
  const text = JSON.stringify([statements, guards]);
  return createHash('sha256').update(text).digest('hex');
}

interface Step {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}
