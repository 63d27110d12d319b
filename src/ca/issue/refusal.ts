import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Outcome } from '../write/operation.ts';

/** Why a host was refused: for audit and metrics, never for the host. */
export type RefusalReason =
  // Without the store.
  | 'credential_missing'
  | 'token_malformed'
  | 'token_forged'
  | 'token_kind'
  | 'token_expired'
  | 'request_malformed'
  | 'request_key'
  | 'request_signature'
  | 'proof_wrong'
  | 'certificate_unknown'
  // With it.
  | 'token_unknown'
  | 'token_revoked'
  | 'token_spent'
  | 'key_not_allowed'
  | 'dns_not_allowed'
  | 'policy_missing'
  | 'agent_state'
  | 'certificate_revoked'
  | 'certificate_superseded'
  | 'wrong_certificate'
  | 'clone_suspected';

/**
 * A host is refused. What it hears is the same for every reason, so that nobody learns from an answer
 * what the store holds.
 */
export class Refused extends ServiceError {
  readonly detail: RefusalReason;

  constructor(detail: RefusalReason) {
    super('PERMISSION_DENIED', 'refused', 'the authority refuses this request');
    this.detail = detail;
  }
}

/** An outcome that refuses, with its row in the audit log. */
export function refuse(
  transaction: Transaction,
  refusal: {
    readonly action: string;
    readonly subject: Uint8Array;
    readonly reason: RefusalReason;
    readonly caller: Caller;
    readonly request: Uint8Array;
    readonly details?: Readonly<Record<string, string | number | boolean>>;
  },
): Outcome<never> {
  const { caller, reason } = refusal;
  transaction.audit({
    actor: caller.name,
    action: refusal.action,
    subject: toHex(refusal.subject),
    outcome: 'refused',
    request: toHex(refusal.request),
    details: { reason, source: caller.source, ...refusal.details },
  });
  return { ok: false, error: new Refused(reason) };
}
