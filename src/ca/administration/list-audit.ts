import { sql } from 'kysely';
import type { ListAuditRequest, ListAuditResponse } from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Queries } from '../store/transaction.ts';
import { pageSize } from './pages.ts';
import { bytes, moment } from './wire.ts';

/**
 * The audit log, oldest first, after a sequence number. Read with the last number that was seen, it
 * is followed without gaps.
 *
 * @throws ServiceError `INVALID_ARGUMENT`
 */
export async function listAudit(
  queries: Queries,
  request: ListAuditRequest,
): Promise<ListAuditResponse> {
  if (request.afterSeq > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new ServiceError('INVALID_ARGUMENT', 'sequence_out_of_range', 'after_seq is too large');
  }
  let query = queries
    .selectFrom('audit')
    .select(['seq', 'at', 'actor', 'action', 'subject', 'outcome', 'details', 'hash'])
    .where('seq', '>', Number(request.afterSeq))
    .orderBy('seq')
    .limit(pageSize(request.pageSize));
  if (request.subject !== '') query = query.where('subject', '=', request.subject);
  if (request.action !== '') query = query.where('action', '=', request.action);
  const rows = await query.execute();
  const head = await queries
    .selectFrom('audit')
    .select(sql<number | null>`max(seq)`.as('seq'))
    .executeTakeFirstOrThrow();
  return {
    entries: rows.map((row) => ({
      seq: BigInt(row.seq),
      at: moment(row.at),
      actor: row.actor,
      action: row.action,
      subject: row.subject,
      outcome: row.outcome,
      details: row.details,
      hash: bytes(row.hash),
    })),
    lastSeq: BigInt(head.seq ?? 0),
  };
}
