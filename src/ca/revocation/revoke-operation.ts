import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { crashPoint } from '../crash-points.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Operation, Outcome } from '../write/operation.ts';
import { orderDetails, type RevocationOrder, type RevocationResult } from './order.ts';
import { endAgents } from './revoke-agents.ts';
import { type CertificateToRevoke, revokeEachCertificate } from './revoke-certificates.ts';
import { type RevokedOffspring, revokeOffspring, type TokenSelection } from './revoke-tokens.ts';

/** What is to be revoked; of tokens and batches everything that came from them, too. */
export interface RevokeItem {
  readonly subject:
    | { readonly kind: 'certificate'; readonly serial: Uint8Array }
    | { readonly kind: 'agent'; readonly id: Uint8Array }
    | TokenSelection;
  readonly order: RevocationOrder;
}

/**
 * Revokes. Done again it changes nothing and answers with zeros. Answers `NOT_FOUND`
 * (`certificate_unknown`, `agent_unknown`, `token_unknown`), audited as refused.
 */
export const revokeOperation: Operation<RevokeItem, RevocationResult> = {
  name: 'revoke',
  priority: 'other',
  async apply(transaction, items) {
    // Certificates take two statements however many they are; the others are rare.
    const certificates = items.flatMap(({ subject, order }): CertificateToRevoke[] =>
      subject.kind === 'certificate' ? [{ serial: subject.serial, order }] : [],
    );
    const revoked = await revokeEachCertificate(transaction, certificates);
    const outcomes: Outcome<RevocationResult>[] = [];
    let next = 0;
    for (const { subject, order } of items) {
      if (subject.kind === 'certificate') {
        const outcome = revoked[next];
        next += 1;
        if (outcome === undefined) throw new RangeError('an outcome is missing');
        outcomes.push(outcome);
      } else if (subject.kind === 'agent') {
        outcomes.push(await revokeAgent(transaction, subject.id, order));
      } else {
        const outcome = await revokeSelection(transaction, subject, order);
        outcomes.push(outcome.ok ? { ok: true, value: outcome.value.result } : outcome);
      }
    }
    crashPoint('revoke.before_commit');
    return outcomes;
  },
};

/** Bans an agent for good. An unknown one is an outcome, audited as refused. */
export async function revokeAgent(
  transaction: Transaction,
  id: Uint8Array,
  order: RevocationOrder,
): Promise<Outcome<RevocationResult>> {
  const known = await transaction.queries
    .selectFrom('agent')
    .select('id')
    .where('id', '=', id)
    .executeTakeFirst();
  if (known === undefined) {
    const error = new ServiceError('NOT_FOUND', 'agent_unknown', `there is no agent ${toHex(id)}`);
    return refuse(transaction, 'agent.revoke', id, order, error);
  }
  return { ok: true, value: await endAgents(transaction, [id], 'banned', order) };
}

/** As `revokeOffspring`. What is unknown is an outcome, audited as refused. */
export async function revokeSelection(
  transaction: Transaction,
  selection: TokenSelection,
  order: RevocationOrder,
  maxAgents?: number,
): Promise<Outcome<RevokedOffspring>> {
  try {
    return { ok: true, value: await revokeOffspring(transaction, selection, order, maxAgents) };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return refuse(transaction, `${selection.kind}.revoke`, selection.id, order, error);
  }
}

function refuse(
  transaction: Transaction,
  action: string,
  subject: Uint8Array,
  order: RevocationOrder,
  error: ServiceError,
): Outcome<never> {
  transaction.audit({
    actor: order.by,
    action,
    subject: toHex(subject),
    outcome: 'refused',
    details: { ...orderDetails(order), why: error.reason },
    ...(order.request === undefined ? {} : { request: order.request }),
  });
  return { ok: false, error };
}
