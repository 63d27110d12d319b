import { type RevocationReason, revocationReasons } from '../../pki/crl.ts';
import { ServiceError } from '../../rpc/errors.ts';

/** Why something is revoked, and by whom. */
export interface RevocationOrder {
  readonly reason: RevocationReason;
  /** For the audit log, as `Caller.name`. */
  readonly by: string;
  /** For people. */
  readonly comment?: string;
  /** Hex; of the request that asked for it. */
  readonly request?: string;
}

/** What a revocation came to. What was revoked before is not counted again. */
export interface RevocationResult {
  readonly agents: number;
  readonly certificates: number;
  readonly tokens: number;
  /** Last feed entry it made; 0: none. Hosts that acknowledge it know. */
  readonly feedSequence: number;
}

export const nothingRevoked: RevocationResult = {
  agents: 0,
  certificates: 0,
  tokens: 0,
  feedSequence: 0,
};

export function addResults(a: RevocationResult, b: RevocationResult): RevocationResult {
  return {
    agents: a.agents + b.agents,
    certificates: a.certificates + b.certificates,
    tokens: a.tokens + b.tokens,
    feedSequence: Math.max(a.feedSequence, b.feedSequence),
  };
}

/**
 * Reads a reason of RFC 5280 §5.3.1; empty is `unspecified`. Throws `ServiceError`
 * (`INVALID_ARGUMENT`). `certificateHold` is refused: what is revoked here stays so.
 */
export function parseRevocationReason(text: string): RevocationReason {
  if (text === '') return 'unspecified';
  const known = Object.keys(revocationReasons).find((name) => name === text);
  if (known !== undefined && isReason(known) && known !== 'certificateHold') return known;
  const choice = Object.keys(revocationReasons).filter((name) => name !== 'certificateHold');
  throw new ServiceError(
    'INVALID_ARGUMENT',
    'unknown_revocation_reason',
    `reasons are: ${choice.join(', ')}`,
  );
}

/** Of a reason as it stands in the store. */
export function storedReason(text: string): RevocationReason {
  return isReason(text) ? text : 'unspecified';
}

function isReason(text: string): text is RevocationReason {
  return Object.hasOwn(revocationReasons, text);
}

/** What every audit row of a revocation tells. */
export function orderDetails(order: RevocationOrder): Readonly<Record<string, string>> {
  const { reason, comment } = order;
  return { reason, ...(comment === undefined || comment === '' ? {} : { comment }) };
}

/** Cut into pieces a statement has room for. */
export function chunks<Item>(items: readonly Item[], size = CHUNK): readonly (readonly Item[])[] {
  const pieces: Item[][] = [];
  for (let start = 0; start < items.length; start += size) {
    pieces.push(items.slice(start, start + size));
  }
  return pieces;
}

/** SQLite takes 32,766 parameters in a statement; a revocation row has eight. */
const CHUNK = 500;
