import { toHex } from '../../bytes/bytes.ts';
import type { NewRow, Row } from '../store/schema.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import { canonicalProperties } from '../tokens/properties.ts';
import type { Made } from './grant.ts';
import { distinct } from './token-rows.ts';

/** Agents that tokens of kind `recover` are for, locked; by hex of their ids. */
export async function recoveredAgents(
  transaction: Transaction,
  tokens: readonly Row<'token'>[],
): Promise<ReadonlyMap<string, Row<'agent'>>> {
  return await lockAgents(
    transaction,
    tokens.flatMap(({ agent }) => (agent === null ? [] : [agent])),
  );
}

/** Reads and locks agents, by hex of their ids. */
export async function lockAgents(
  { queries, rowLocks }: Transaction,
  ids: readonly Uint8Array[],
): Promise<ReadonlyMap<string, Row<'agent'>>> {
  if (ids.length === 0) return new Map();
  const rows = await queries
    .selectFrom('agent')
    .selectAll()
    .where('id', 'in', distinct(ids))
    .orderBy('id')
    .$if(rowLocks, (query) => query.forUpdate())
    .execute();
  return new Map(rows.map((row) => [toHex(row.id), row]));
}

/** Writes agents that did not exist before, and their properties for search. */
export async function writeNewAgents(
  { queries, now }: Transaction,
  made: readonly Made[],
  /** By hex of the request. */
  reports: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  if (made.length === 0) return;
  const properties = made.flatMap(({ grant }) =>
    Object.entries(grant.properties).map(([name, value]): NewRow<'property'> => ({
      name,
      value,
      subject_kind: 'agent',
      subject: grant.agentId,
    })),
  );
  await Promise.all([
    queries
      .insertInto('agent')
      .values(made.map((one) => newAgent(one, now, reports.get(toHex(one.grant.request)))))
      .execute(),
    ...(properties.length === 0 ? [] : [insertProperties(queries, properties)]),
  ]);
}

/** Gives agents their new generation; their earlier renewal tokens are of no more use. */
export async function writeRecoveredAgents(
  transaction: Transaction,
  made: readonly Made[],
  before: ReadonlyMap<string, Row<'agent'>>,
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
  await writeRenewedAgents(transaction, made, before);
}

/**
 * Gives agents their new generation. The rows are written whole, with one statement for all: they are
 * locked, so nothing else in them has changed.
 */
export async function writeRenewedAgents(
  { queries, now }: Transaction,
  made: readonly Made[],
  before: ReadonlyMap<string, Row<'agent'>>,
): Promise<void> {
  if (made.length === 0) return;
  await queries
    .insertInto('agent')
    .values(
      made.map(({ grant, serial, notAfter }): NewRow<'agent'> => {
        const row = before.get(toHex(grant.agentId));
        if (row === undefined) throw new Error('a renewed agent was not locked');
        return {
          ...row,
          generation: grant.generation,
          pending_serial: serial,
          not_after: notAfter,
          policy: grant.policy.name,
          policy_version: grant.policy.version,
          last_seen_at: now,
        };
      }),
    )
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((row) => ({
        generation: row.ref('excluded.generation'),
        pending_serial: row.ref('excluded.pending_serial'),
        not_after: row.ref('excluded.not_after'),
        policy: row.ref('excluded.policy'),
        policy_version: row.ref('excluded.policy_version'),
        last_seen_at: row.ref('excluded.last_seen_at'),
      })),
    )
    .execute();
}

async function insertProperties(
  queries: Queries,
  rows: readonly NewRow<'property'>[],
): Promise<void> {
  await queries.insertInto('property').values(rows).execute();
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
