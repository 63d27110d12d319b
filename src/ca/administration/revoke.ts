import {
  RevokeRequest,
  RevokeResponse,
  RevokeTokensRequest,
  RevokeTokensResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import {
  addResults,
  nothingRevoked,
  parseRevocationReason,
  type RevocationOrder,
  type RevocationResult,
} from '../revocation/order.ts';
import {
  type RevokeItem,
  revokeOperation,
  revokeSelection,
} from '../revocation/revoke-operation.ts';
import { revokeTokens, type TokenSelection } from '../revocation/revoke-tokens.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Outcome } from '../write/operation.ts';
import { changeInPieces, changeOnce, done } from './once.ts';
import { hasProperties } from './search.ts';

/**
 * Revokes an agent, a certificate, or everything that came from a token or a batch.
 *
 * @throws ServiceError `INVALID_ARGUMENT`, `NOT_FOUND`
 */
export async function revoke(
  context: AuthorityContext,
  request: RevokeRequest,
  caller: Caller,
): Promise<RevokeResponse> {
  const subject = subjectOf(request);
  const order = orderOf(parseRevocationReason(request.reason), request.comment, caller);
  const call = {
    caller,
    key: request.idempotencyKey,
    method: 'Revoke',
    request: RevokeRequest.encode(request).finish(),
  };
  if (subject.kind === 'token' || subject.kind === 'batch') {
    let sum = nothingRevoked;
    return await changeInPieces(context, call, RevokeResponse, async (transaction) => {
      const outcome = await revokeSelection(transaction, subject, order, AGENTS_AT_ONCE);
      if (!outcome.ok) return outcome;
      sum = addResults(sum, outcome.value.result);
      return done({ answer: resultMessage(sum), isLast: !outcome.value.hasMore });
    });
  }
  return await changeOnce(context, call, RevokeResponse, async (transaction) => {
    const [outcome] = await revokeOperation.apply(transaction, [{ subject, order }]);
    if (outcome === undefined) throw new RangeError('an outcome is missing');
    return outcome.ok ? done(resultMessage(outcome.value)) : outcome;
  });
}

/**
 * Revokes tokens that were not used yet, by id, batch or properties. Who enrolled with them stays.
 *
 * @throws ServiceError `INVALID_ARGUMENT`, `NOT_FOUND`
 */
export async function revokeTokensOnly(
  context: AuthorityContext,
  request: RevokeTokensRequest,
  caller: Caller,
): Promise<RevokeTokensResponse> {
  const order = orderOf('unspecified', request.reason, caller);
  const selection = selectionOf(request);
  return await changeOnce(
    context,
    {
      caller,
      key: request.idempotencyKey,
      method: 'RevokeTokens',
      request: RevokeTokensRequest.encode(request).finish(),
    },
    RevokeTokensResponse,
    async (transaction): Promise<Outcome<RevokeTokensResponse>> => {
      const revoked =
        selection === undefined
          ? await revokeByProperties(transaction, request.properties, order)
          : await revokeTokens(transaction, selection, order);
      return done({ revoked });
    },
  );
}

/** One statement and one audit entry, however many tokens it is about. */
async function revokeByProperties(
  transaction: Transaction,
  properties: Readonly<Record<string, string>>,
  order: RevocationOrder,
): Promise<number> {
  const { queries, now } = transaction;
  const { numUpdatedRows } = await queries
    .updateTable('token')
    .set({
      state: 'revoked',
      revoked_at: now,
      revoked_by: order.by,
      revoked_why: order.comment ?? order.reason,
    })
    .where('state', '=', 'active')
    .where('kind', '!=', 'renew')
    .where(hasProperties('token', 'id', properties))
    .executeTakeFirst();
  const tokens = Number(numUpdatedRows);
  if (tokens > 0) {
    const named = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    transaction.audit({
      actor: order.by,
      action: 'token.revoke',
      subject: named.join(' '),
      outcome: 'done',
      details: { tokens, ...(order.comment === undefined ? {} : { comment: order.comment }) },
    });
  }
  return tokens;
}

function subjectOf({ subject }: RevokeRequest): RevokeItem['subject'] {
  switch (subject?.$case) {
    case 'agentId':
      return { kind: 'agent', id: subject.value };
    case 'serial':
      return { kind: 'certificate', serial: subject.value };
    case 'tokenId':
      return { kind: 'token', id: subject.value };
    case 'batchId':
      return { kind: 'batch', id: subject.value };
    case undefined:
      throw new ServiceError('INVALID_ARGUMENT', 'subject_missing', 'nothing to revoke is named');
  }
}

/** `undefined`: by properties. */
function selectionOf(request: RevokeTokensRequest): TokenSelection | undefined {
  const given = [
    request.id.length > 0,
    request.batchId.length > 0,
    Object.keys(request.properties).length > 0,
  ].filter(Boolean).length;
  if (given !== 1) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'selection_invalid',
      'tokens are named by one of id, batch_id and properties',
    );
  }
  if (request.id.length > 0) return { kind: 'token', id: request.id };
  if (request.batchId.length > 0) return { kind: 'batch', id: request.batchId };
  return undefined;
}

function orderOf(
  reason: RevocationOrder['reason'],
  comment: string,
  caller: Caller,
): RevocationOrder {
  const text = comment.trim();
  if (text.length > maxComment) {
    throw new ServiceError('INVALID_ARGUMENT', 'comment_too_long', 'the comment is too long');
  }
  return { reason, by: caller.name, ...(text === '' ? {} : { comment: text }) };
}

function resultMessage(result: RevocationResult): RevokeResponse {
  return {
    agents: result.agents,
    certificates: result.certificates,
    tokens: result.tokens,
    feedSequence: BigInt(result.feedSequence),
  };
}

const maxComment = 1024;
/** Some tens of milliseconds, for which renewals have to wait. */
const AGENTS_AT_ONCE = 128;
