import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Transaction } from '../store/transaction.ts';
import {
  addResults,
  chunks,
  nothingRevoked,
  orderDetails,
  type RevocationOrder,
  type RevocationResult,
} from './order.ts';
import { endAgents } from './revoke-agents.ts';
import { revokeCertificates } from './revoke-certificates.ts';

/** One token, or all that were minted together. */
export type TokenSelection =
  | { readonly kind: 'token'; readonly id: Uint8Array }
  | { readonly kind: 'batch'; readonly id: Uint8Array };

/**
 * Revokes tokens: nobody enrols with them any more. Agents that came from them stay
 * ({@link revokeOffspring} is for these too). Answers how many were not revoked before. Hosts hear
 * nothing of it: it is the authority alone that takes tokens.
 *
 * Rejects with `ServiceError` (`NOT_FOUND`, `token_unknown`) before anything is written.
 */
export async function revokeTokens(
  transaction: Transaction,
  selection: TokenSelection,
  order: RevocationOrder,
): Promise<number> {
  const { queries, now } = transaction;
  const column = selection.kind === 'token' ? 'id' : 'batch';
  const known = await queries
    .selectFrom('token')
    .select('id')
    .where(column, '=', selection.id)
    .limit(1)
    .executeTakeFirst();
  if (known === undefined) {
    const name = `${selection.kind} ${toHex(selection.id)}`;
    throw new ServiceError('NOT_FOUND', 'token_unknown', `there is no ${name}`);
  }
  const { numUpdatedRows } = await queries
    .updateTable('token')
    .set({
      state: 'revoked',
      revoked_at: now,
      revoked_by: order.by,
      revoked_why: order.comment ?? order.reason,
    })
    .where(column, '=', selection.id)
    .where('state', '=', 'active')
    .executeTakeFirst();
  const tokens = Number(numUpdatedRows);
  if (tokens > 0) {
    await recordSelection(transaction, selection, order);
    transaction.audit({
      actor: order.by,
      action: `${selection.kind}.revoke`,
      subject: toHex(selection.id),
      outcome: 'done',
      details: { ...orderDetails(order), tokens },
      ...(order.request === undefined ? {} : { request: order.request }),
    });
  }
  return tokens;
}

export interface RevokedOffspring {
  readonly result: RevocationResult;
  /** Agents are left: to be done again, in a transaction of its own. */
  readonly hasMore: boolean;
}

/**
 * Revokes tokens and everything that came from them: agents with their certificates and renewal
 * tokens, and the enrol-only credentials of their bundles. Of agents at most `maxAgents`, default all;
 * tokens are revoked first, so that there come no more. Rejects as {@link revokeTokens}.
 */
export async function revokeOffspring(
  transaction: Transaction,
  selection: TokenSelection,
  order: RevocationOrder,
  maxAgents?: number,
): Promise<RevokedOffspring> {
  const tokens = await revokeTokens(transaction, selection, order);
  let result = { ...nothingRevoked, tokens };
  const { queries } = transaction;
  const column = selection.kind === 'token' ? 'id' : 'batch';
  const source = queries.selectFrom('token').select('id').where(column, '=', selection.id);
  const agents = await queries
    .selectFrom('agent')
    .select('id')
    .where('source_token', 'in', source)
    .where('state', 'not in', ['banned', 'retired'])
    .orderBy('id')
    .$if(maxAgents !== undefined, (query) => query.limit(maxAgents ?? 0))
    .execute();
  result = addResults(
    result,
    await endAgents(
      transaction,
      agents.map(({ id }) => id),
      'banned',
      order,
    ),
  );
  if (agents.length === maxAgents) return { result, hasMore: true };
  const credentials = await queries
    .selectFrom('certificate')
    .select('serial')
    .where('token', 'in', source)
    .where('purpose', '=', 'enrolment')
    .where('not_after', '>', transaction.now)
    .execute();
  for (const piece of chunks(credentials)) {
    const serials = piece.map(({ serial }) => serial);
    result = addResults(result, await revokeCertificates(transaction, serials, order));
  }
  return { result, hasMore: false };
}

/** Insert only, as all revocations; the feed has no entry for it. */
async function recordSelection(
  { queries, now }: Transaction,
  { kind, id }: TokenSelection,
  { reason, by }: RevocationOrder,
): Promise<void> {
  await queries
    .insertInto('revocation')
    .values({
      kind,
      subject: id,
      reason,
      at: now,
      by,
      feed_seq: 0,
      issuer: null,
      not_after: null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
