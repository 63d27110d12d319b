import { sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import { insertRows } from '../store/insert-rows.ts';
import type { NewRow, Row } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import { canonicalProperties } from '../tokens/properties.ts';
import type { Made } from './grant.ts';
import { distinct } from './token-rows.ts';

/** Agents that tokens of kind `recover` are for, locked; by hex of their ids. */
export async function recoveredAgents(
  transaction: Transaction,
  tokens: readonly Pick<Row<'token'>, 'agent'>[],
): Promise<ReadonlyMap<string, LockedAgent>> {
  return await lockAgents(
    transaction,
    tokens.flatMap(({ agent }) => (agent === null ? [] : [agent])),
  );
}

/** What has to be known of an agent to give it certificates. */
export type LockedAgent = Pick<Row<'agent'>, (typeof lockedColumns)[number]>;

/** Reads and locks agents, by hex of their ids. */
export async function lockAgents(
  { queries, rowLocks }: Transaction,
  ids: readonly Uint8Array[],
): Promise<ReadonlyMap<string, LockedAgent>> {
  if (ids.length === 0) return new Map();
  const rows = await queries
    .selectFrom('agent')
    .select(lockedColumns)
    .where('id', 'in', distinct(ids))
    .orderBy('id')
    .$if(rowLocks, (query) => query.forUpdate())
    .execute();
  return new Map(rows.map((row) => [toHex(row.id), row]));
}

/** Writes agents that did not exist before, and their properties for search. */
export async function writeNewAgents(
  transaction: Transaction,
  made: readonly Made[],
  /** By hex of the request. */
  reports: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const { now } = transaction;
  const properties = made.flatMap(({ grant }) =>
    Object.entries(grant.properties).map(([name, value]): NewRow<'property'> => ({
      name,
      value,
      subject_kind: 'agent',
      subject: grant.agentId,
    })),
  );
  await Promise.all([
    insertRows(
      transaction,
      'agent',
      made.map((one) => newAgent(one, now, reports.get(toHex(one.grant.request)))),
    ),
    insertRows(transaction, 'property', properties),
  ]);
}

/** Gives agents their new generation; their earlier renewal tokens are of no more use. */
export async function writeRecoveredAgents(
  transaction: Transaction,
  made: readonly Made[],
): Promise<void> {
  if (made.length === 0) return;
  const { queries, now } = transaction;
  await queries
    .updateTable('token')
    .set({ state: 'revoked', revoked_at: now, revoked_by: 'authority', revoked_why: 'recovered' })
    .where(
      'agent',
      'in',
      made.map(({ grant }) => grant.agentId),
    )
    .where('kind', '=', 'renew')
    .where('state', '=', 'active')
    .whereRef('uses', '<', 'cap')
    // Not the ones that are being written.
    .where(
      'id',
      'not in',
      made.map(({ token }) => token.id),
    )
    .execute();
  await writeRenewedAgents(transaction, made);
}

/** Keeps what hosts said of themselves; of those that said nothing stays what is known. */
export async function writeReports(
  { queries }: Transaction,
  made: readonly Made[],
  /** By hex of the request. */
  reports: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const told = made.flatMap(({ grant }) => {
    const report = reports.get(toHex(grant.request));
    return report === undefined ? [] : [{ agent: grant.agentId, report }];
  });
  if (told.length === 0) return;
  const cases = told.map(({ agent, report }) => sql`when ${agent} then cast(${report} as text)`);
  await queries
    .updateTable('agent')
    .set({ report: sql<string>`case id ${sql.join(cases, sql` `)} end` })
    .where(
      'id',
      'in',
      told.map(({ agent }) => agent),
    )
    .execute();
}

/** Gives agents their new generation: one statement for all that go by the same policy. */
export async function writeRenewedAgents(
  { queries, now }: Transaction,
  made: readonly Made[],
): Promise<void> {
  const groups = new Map<string, Made[]>();
  for (const one of made) {
    const { policy } = one.grant;
    const name = `${policy.name}/${String(policy.version)}/${String(one.notAfter)}`;
    const group = groups.get(name) ?? [];
    group.push(one);
    groups.set(name, group);
  }
  await Promise.all(
    [...groups.values()].map(async (group) => {
      const [first] = group;
      if (first === undefined) return;
      const { policy } = first.grant;
      // PostgreSQL cannot tell the type of a value that only a CASE answers with.
      const serials = group.map(
        ({ grant, serial }) => sql`when ${grant.agentId} then cast(${serial} as blob)`,
      );
      await queries
        .updateTable('agent')
        .set((row) => ({
          generation: row('generation', '+', 1),
          pending_serial: sql<Uint8Array>`case id ${sql.join(serials, sql` `)} end`,
          not_after: first.notAfter,
          policy: policy.name,
          policy_version: policy.version,
          last_seen_at: now,
        }))
        .where(
          'id',
          'in',
          group.map(({ grant }) => grant.agentId),
        )
        .execute();
    }),
  );
}

function newAgent(
  { grant, serial, notAfter }: Made,
  now: number,
  report: string | undefined,
): NewRow<'agent'> {
  const by = `policy ${grant.policy.name}/${String(grant.policy.version)}`;
  return {
    id: grant.agentId,
    role: grant.role,
    spiffe_id: grant.spiffeId,
    state: grant.active ? 'active' : 'enrolled',
    state_at: now,
    state_by: by,
    state_why: null,
    properties: canonicalProperties(grant.properties),
    policy: grant.policy.name,
    policy_version: grant.policy.version,
    generation: grant.generation,
    current_serial: serial,
    pending_serial: null,
    not_after: notAfter,
    source_token: grant.token,
    enrolled_at: now,
    activated_at: grant.active ? now : null,
    activated_by: grant.active ? by : null,
    last_seen_at: now,
    bundle_ack: 0,
    feed_ack: 0,
    tls_policy_ack: 0,
    report: report ?? null,
  };
}

const lockedColumns = [
  'id',
  'role',
  'spiffe_id',
  'state',
  'properties',
  'policy',
  'policy_version',
  'generation',
  'current_serial',
] as const;
