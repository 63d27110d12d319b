import type { Store } from './store/store.ts';
import type { Transaction } from './store/transaction.ts';

/** The right to be the only replica that does something, for a while. */
export interface Lease {
  readonly name: string;
  /** Counts holders, over all time. */
  readonly fence: number;
  /**
   * Runs `work` in a transaction in which the lease is still held, and holds it for its duration from
   * now on; or rejects with {@link LeaseLostError} and does nothing. Whoever was stopped for longer
   * than that finds out here, before it writes.
   */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export interface LeaseOptions {
  readonly store: Store;
  readonly name: string;
  /** Replica id. */
  readonly holder: string;
  readonly durationMs: number;
}

/** Somebody else has the lease now. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/**
 * Takes or renews a lease, runs `work` under it, and answers its result; `undefined` if somebody else
 * has it. A holder that holds it again keeps its fence; the lease is not given up at the end, so that
 * the next run of the same replica finds it.
 */
export async function withLease<T>(
  options: LeaseOptions,
  work: (lease: Lease) => Promise<T>,
): Promise<T | undefined> {
  const fence = await options.store.transact((transaction) => take(transaction, options));
  if (fence === undefined) return undefined;
  return await work({
    name: options.name,
    fence,
    transact: (inside) =>
      options.store.transact(async (transaction) => {
        await keep(transaction, options, fence);
        return await inside(transaction);
      }),
  });
}

/** Answers the fence; `undefined` if the lease of somebody else still runs. */
async function take(
  { queries, now, rowLocks }: Transaction,
  { name, holder, durationMs }: LeaseOptions,
): Promise<number | undefined> {
  const held = await queries
    .selectFrom('lease')
    .select(['holder', 'until', 'fence'])
    .where('name', '=', name)
    .$if(rowLocks, (query) => query.forUpdate())
    .executeTakeFirst();
  const until = now + durationMs;
  if (held === undefined) {
    await queries.insertInto('lease').values({ name, holder, until, fence: 1 }).execute();
    return 1;
  }
  if (held.holder !== holder && held.until > now) return undefined;
  // One that ran out may have been lost and won back without anybody noticing: not the same one.
  const fence = held.holder === holder && held.until > now ? held.fence : held.fence + 1;
  await queries
    .updateTable('lease')
    .set({ holder, until, fence })
    .where('name', '=', name)
    .execute();
  return fence;
}

async function keep(
  { queries, now }: Transaction,
  { name, durationMs }: LeaseOptions,
  fence: number,
): Promise<void> {
  const { numUpdatedRows } = await queries
    .updateTable('lease')
    .set({ until: now + durationMs })
    .where('name', '=', name)
    .where('fence', '=', fence)
    .where('until', '>', now)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) throw new LeaseLostError(`the lease "${name}" was lost`);
}
