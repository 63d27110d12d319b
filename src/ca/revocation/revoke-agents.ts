import { toHex } from '../../bytes/bytes.ts';
import { insertRows } from '../store/insert-rows.ts';
import type { NewRow } from '../store/schema.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import {
  addResults,
  chunks,
  nothingRevoked,
  orderDetails,
  type RevocationOrder,
  type RevocationResult,
} from './order.ts';

/** How an agent ends: thrown out, or left. Neither comes back. */
export type AgentEnd = 'banned' | 'retired';

/**
 * Ends agents for good: no more renewals, every living certificate and every token of theirs
 * revoked, one feed entry each, which names them by SPIFFE ID. Those that have ended before, and
 * unknown ones, are passed over.
 */
export async function endAgents(
  transaction: Transaction,
  ids: readonly Uint8Array[],
  end: AgentEnd,
  order: RevocationOrder,
): Promise<RevocationResult> {
  let result = nothingRevoked;
  for (const piece of chunks(ids)) {
    result = addResults(result, await endPiece(transaction, piece, end, order));
  }
  return result;
}

async function endPiece(
  transaction: Transaction,
  ids: readonly Uint8Array[],
  end: AgentEnd,
  order: RevocationOrder,
): Promise<RevocationResult> {
  const { queries, now } = transaction;
  // Tokens before agents, as a renewal locks them: two transactions never wait for each other.
  const [tokens, agents] = await Promise.all([
    revokeTokensOfAgents(transaction, ids, order),
    endLiving(transaction, ids, end, order),
  ]);
  if (agents.length === 0) return { ...nothingRevoked, tokens };
  const certificates = await livingCertificates(
    queries,
    agents.map(({ id }) => id),
    now,
  );
  const rows: NewRow<'revocation'>[] = [];
  let feedSequence = 0;
  for (const { id, spiffe_id: spiffeId } of agents) {
    const own = certificates.get(toHex(id)) ?? [];
    const notAfter = Math.max(now, ...own.map((certificate) => certificate.not_after));
    const { reason, by } = order;
    feedSequence = await transaction.publish({
      type: 'agent_revoked',
      subject: id,
      payload: { spiffeId, state: end, reason, notAfter },
    });
    const common = { reason, by, at: now, feed_seq: feedSequence };
    rows.push({ ...common, kind: 'agent', subject: id, issuer: null, not_after: notAfter });
    for (const { serial, issuer, not_after } of own) {
      rows.push({ ...common, kind: 'certificate', subject: serial, issuer, not_after });
    }
    transaction.audit({
      actor: by,
      action: end === 'banned' ? 'agent.revoke' : 'agent.retire',
      subject: toHex(id),
      outcome: 'done',
      details: { ...orderDetails(order), certificates: own.length },
      ...(order.request === undefined ? {} : { request: order.request }),
    });
  }
  await insertRows(transaction, 'revocation', rows);
  return {
    agents: agents.length,
    certificates: rows.length - agents.length,
    tokens,
    feedSequence,
  };
}

/** Those that had not ended before. */
async function endLiving(
  { queries, now }: Transaction,
  ids: readonly Uint8Array[],
  end: AgentEnd,
  order: RevocationOrder,
) {
  return await queries
    .updateTable('agent')
    .set({
      state: end,
      state_at: now,
      state_by: order.by,
      state_why: order.comment ?? order.reason,
    })
    .where('id', 'in', ids)
    .where('state', 'not in', ['banned', 'retired'])
    .returning(['id', 'spiffe_id'])
    .execute();
}

async function revokeTokensOfAgents(
  transaction: Transaction,
  ids: readonly Uint8Array[],
  order: RevocationOrder,
): Promise<number> {
  const { numUpdatedRows } = await transaction.queries
    .updateTable('token')
    .set({
      state: 'revoked',
      revoked_at: transaction.now,
      revoked_by: order.by,
      revoked_why: order.comment ?? order.reason,
    })
    .where('agent', 'in', ids)
    .where('state', '=', 'active')
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Not yet expired, not revoked; a reserved one counts, since a signature may exist somewhere. */
async function livingCertificates(queries: Queries, agents: readonly Uint8Array[], now: number) {
  const rows = await queries
    .selectFrom('certificate')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select([
      'certificate.serial',
      'certificate.issuer',
      'certificate.not_after',
      'certificate.agent',
    ])
    .where('certificate.agent', 'in', agents)
    .where('certificate.not_after', '>', now)
    .where('certificate.state', '<>', 'void')
    .where('revocation.kind', 'is', null)
    .execute();
  const byAgent = new Map<string, (typeof rows)[number][]>();
  for (const row of rows) {
    const key = row.agent === null ? '' : toHex(row.agent);
    const own = byAgent.get(key);
    if (own === undefined) byAgent.set(key, [row]);
    else own.push(row);
  }
  return byAgent;
}
