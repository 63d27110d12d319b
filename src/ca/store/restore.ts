import type { NewStore } from './options.ts';
import { copiedAtName, newEpoch } from './bootstrap.ts';
import type { Transaction } from './transaction.ts';

/** Who accepts a store that lost commits, and why. */
export interface RestoreOptions extends Pick<NewStore, 'random'> {
  readonly by: string;
  readonly why: string;
  /** File of a backup; absent: what is in place already. */
  readonly from?: string;
}

export interface Restored {
  readonly epoch: string;
  readonly previousEpoch: string;
}

/**
 * Begins a new epoch. What was issued after the backup was made is not in the store: those serial
 * numbers have the old epoch and are unknown, so nothing is renewed from them. Numbers of CRLs and
 * trust bundles leave room for those that were given out in the time that was lost, since hosts
 * accept only higher ones ({@link https://www.rfc-editor.org/rfc/rfc5280#section-5.2.3 | RFC 5280 §5.2.3}).
 * Tokens that enrol are revoked, since nobody knows which of them were used meanwhile; renewals go on.
 */
export async function beginNewEpoch(
  transaction: Transaction,
  options: RestoreOptions,
): Promise<Restored> {
  const { queries, now } = transaction;
  const { value: previousEpoch } = await queries
    .selectFrom('meta')
    .select('value')
    .where('name', '=', 'epoch')
    .executeTakeFirstOrThrow();
  const epoch = newEpoch(options.random);
  await queries.updateTable('meta').set({ value: epoch }).where('name', '=', 'epoch').execute();
  await queries.deleteFrom('meta').where('name', '=', copiedAtName).execute();
  const counters = await queries
    .selectFrom('counter')
    .select(['name', 'value'])
    .where((where) => where.or([where('name', '=', 'bundle'), where('name', 'like', 'crl/%')]))
    .orderBy('name')
    .execute();
  const skipped: string[] = [];
  for (const { name, value } of counters) {
    await transaction.nextMany(name, skippedNumbers);
    skipped.push(`${name}:${String(value)}+${String(skippedNumbers)}`);
  }
  const { numUpdatedRows } = await queries
    .updateTable('token')
    .set({
      state: 'revoked',
      revoked_at: now,
      revoked_by: options.by,
      revoked_why: 'store restored',
    })
    .where('kind', 'in', ['enroll', 'recover'])
    .where('state', '=', 'active')
    .whereRef('uses', '<', 'cap')
    .executeTakeFirst();
  transaction.audit({
    actor: options.by,
    action: restoreAction,
    subject: epoch,
    outcome: 'done',
    details: {
      previousEpoch,
      why: options.why,
      skipped,
      revokedTokens: Number(numUpdatedRows),
    },
  });
  return { epoch, previousEpoch };
}

/** For the checker, which finds the gaps explained. */
export const restoreAction = 'store.restore';
const skippedNumbers = 10_000;
