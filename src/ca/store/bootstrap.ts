import type { Kysely } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import type { DatabaseKind } from '../../database/dialect.ts';
import { migrate } from '../../database/migrate.ts';
import type { Migration } from '../../database/migration.ts';
import { authorityTables } from './migrations/0001-authority.ts';
import { type NewStore, StoreError, type StoreOptions } from './options.ts';
import type { Schema } from './schema.ts';

/** What a store is found to be when it is opened. */
export interface Bootstrapped {
  readonly epoch: string;
  readonly lastMoment: number;
  readonly copiedAt: Date | undefined;
}

/**
 * Inside of a transaction: brings the schema up to date, and makes a new store the one it will be.
 * Throws {@link StoreError} if there is none, or already one.
 */
export async function bootstrap(
  connection: Kysely<Schema>,
  kind: DatabaseKind,
  options: StoreOptions,
  create: NewStore | undefined,
): Promise<Bootstrapped> {
  const steps = await migrate(connection, kind, migrations);
  let meta = await readAll(connection);
  if (create === undefined && !meta.has('trust_domain')) {
    throw new StoreError('no authority has been made in this store: run "sidekey authority init"');
  }
  if (create !== undefined) {
    if (meta.has('trust_domain')) {
      throw new StoreError(
        `the store already holds the authority of ${String(meta.get('trust_domain'))}`,
      );
    }
    const values = {
      trust_domain: create.trustDomain,
      epoch: newEpoch(create.random),
      created_at: String(options.now().getTime()),
    };
    await connection
      .insertInto('meta')
      .values(Object.entries(values).map(([name, value]) => ({ name, value })))
      .execute();
    meta = new Map(Object.entries(values));
  } else if (steps > 0) {
    options.log.info({ steps }, 'brought the schema of the store up to date');
  }
  const clock = await connection
    .selectFrom('counter')
    .select('value')
    .where('name', '=', 'clock')
    .executeTakeFirst();
  const copied = meta.get(copiedAtName);
  return {
    epoch: meta.get('epoch') ?? '',
    lastMoment: clock?.value ?? 0,
    copiedAt: copied === undefined ? undefined : new Date(Number(copied)),
  };
}

/**
 * First four bytes of every serial number made from now on. The first bit is 0, since serial numbers
 * are positive, and the second 1, so that all have the same length
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.2 | RFC 5280 §4.1.2.2}).
 */
export function newEpoch(random: (length: number) => Uint8Array): string {
  const bytes = Uint8Array.from(random(4));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return toHex(bytes);
}

async function readAll(connection: Kysely<Schema>): Promise<Map<string, string>> {
  const rows = await connection.selectFrom('meta').select(['name', 'value']).execute();
  return new Map(rows.map(({ name, value }) => [name, value]));
}

/** All steps, in order. */
const migrations: readonly Migration[] = [authorityTables];

/** In `meta` of a backup, and only there. */
export const copiedAtName = 'copied_at';
