import type { Queries } from '../store/transaction.ts';
import type { GateCount } from './gate-count.ts';

/**
 * Counts bundle files that could still be used and were made before a root was published, so that
 * they pin only the roots before it.
 */
export async function countBundleFiles(
  queries: Queries,
  now: number,
  publishedAt: number,
): Promise<GateCount> {
  const { count } = await usableTokens(queries, now)
    .where('kind', 'in', ['enroll', 'recover'])
    .where('created_at', '<', publishedAt)
    .select((each) => each.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return leftover(count, 'usable bundle files know only the roots before');
}

/**
 * Counts tokens signed by some token keys that could still be used, and those used so lately that a
 * host whose answer was lost may come again with them.
 */
export async function countTokens(
  queries: Queries,
  now: number,
  keys: readonly Uint8Array[],
): Promise<GateCount> {
  const { usable } = await usableTokens(queries, now)
    .where('key_id', 'in', keys)
    .select((each) => each.fn.countAll<number>().as('usable'))
    .executeTakeFirstOrThrow();
  const { used } = await queries
    .selectFrom('redemption')
    .innerJoin('token', 'token.id', 'redemption.token')
    .where('token.key_id', 'in', keys)
    .where('redemption.at', '>', now - RETRY_MS)
    .whereRef('token.uses', '>=', 'token.cap')
    .select((each) => each.fn.countAll<number>().as('used'))
    .executeTakeFirstOrThrow();
  return leftover(usable + used, 'usable or just used tokens are signed by it');
}

/** Tokens that could still be used. */
export function usableTokens(queries: Queries, now: number) {
  return queries
    .selectFrom('token')
    .where('state', '=', 'active')
    .where('expires_at', '>', now)
    .whereRef('uses', '<', 'cap');
}

/**
 * Counts CAs with unexpired certificates and no complete CRL that lasts until the last of them: after
 * their key is destroyed there can be no other.
 */
export async function countLastCrls(
  queries: Queries,
  now: number,
  issuers: readonly Uint8Array[],
): Promise<GateCount> {
  let missing = 0;
  for (const issuer of issuers) {
    const { end } = await queries
      .selectFrom('certificate')
      .where('issuer', '=', issuer)
      .where('not_after', '>', now)
      .select((each) => each.fn.max<number | null>('not_after').as('end'))
      .executeTakeFirstOrThrow();
    if (end === null) continue;
    const crl = await queries
      .selectFrom('crl')
      .where('issuer', '=', issuer)
      .where('base_number', 'is', null)
      .where('next_update', '>=', end)
      .select('number')
      .limit(1)
      .executeTakeFirst();
    if (crl === undefined) missing += 1;
  }
  return leftover(missing, 'CAs have certificates that no CRL outlasts');
}

function leftover(count: number, what: string): GateCount {
  return {
    needed: count,
    reached: 0,
    laggards: [],
    laggardsTotal: 0,
    detail: `${String(count)} ${what}`,
  };
}

/** A host asks again for a lost answer within minutes. */
const RETRY_MS = 3_600_000;
