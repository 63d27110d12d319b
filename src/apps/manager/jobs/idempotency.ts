import { createHash } from 'node:crypto';
import type { Transaction } from '../store/manager-store.ts';

/** An idempotency key stands for another request already. */
export class KeyReusedError extends Error {
  override readonly name = 'KeyReusedError';
}

/** Who asked for what, under which key; absent: each time is another. */
export interface Idempotency {
  readonly actor: string;
  readonly key: string | undefined;
  readonly request: unknown;
}

/**
 * Runs `make`, which answers the id of the job it made, unless the same was asked for before: then the id made at that
 * time. Rejects with {@link KeyReusedError}.
 */
export async function once(
  transaction: Transaction,
  { actor, key, request }: Idempotency,
  make: () => Promise<string>,
): Promise<string> {
  if (key === undefined) return await make();
  const { queries, now } = transaction;
  const text = createHash('sha256').update(JSON.stringify(request)).digest('hex');
  const known = await queries
    .selectFrom('idempotency')
    .select(['request', 'job'])
    .where('actor', '=', actor)
    .where('key', '=', key)
    .executeTakeFirst();
  if (known !== undefined) {
    if (known.request === text) return known.job;
    throw new KeyReusedError('the idempotency key stands for another request');
  }
  const job = await make();
  await queries
    .deleteFrom('idempotency')
    .where('at', '<', now - keptMs)
    .execute();
  await queries
    .insertInto('idempotency')
    .values({ actor, key, request: text, job, at: now })
    .execute();
  return job;
}

const keptMs = 7 * 86_400_000;
