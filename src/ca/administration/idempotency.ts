import { createHash } from 'node:crypto';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';

/** A call that changes something, as it came. */
export interface IdempotentCall {
  readonly caller: Caller;
  /** Made by the caller, 1 to 64 printable characters. */
  readonly key: string;
  /** Name of the RPC. */
  readonly method: string;
  /** The request, encoded. */
  readonly request: Uint8Array;
}

/**
 * Does the work of a call once: repeated with the same key, the call is answered as the first time.
 * The key is written in the transaction of the change itself, so that either both are durable or
 * neither is.
 *
 * Answers are kept; they may hold nothing secret.
 *
 * @throws ServiceError `INVALID_ARGUMENT` for a key that is unusable, or was used for something else
 */
export async function once(
  transaction: Transaction,
  call: IdempotentCall,
  work: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { queries, now } = transaction;
  const key = checkedKey(call.key);
  const digest = createHash('sha256').update(`${call.method}\0`).update(call.request).digest();
  await queries.deleteFrom('idempotency').where('expires_at', '<=', now).execute();
  // Inserted first: another call with this key waits here until this one is committed.
  const inserted = await queries
    .insertInto('idempotency')
    .values({
      caller: call.caller.name,
      key,
      request_digest: digest,
      outcome: pending,
      expires_at: now + keptMs,
    })
    .onConflict((conflict) => conflict.columns(['caller', 'key']).doNothing())
    .returning('key')
    .executeTakeFirst();
  if (inserted === undefined)
    return await earlierAnswer(transaction, call.caller.name, key, digest);
  const answer = await work();
  await queries
    .updateTable('idempotency')
    .set({ outcome: JSON.stringify({ answer: Buffer.from(answer).toString('base64') }) })
    .where('caller', '=', call.caller.name)
    .where('key', '=', key)
    .execute();
  return answer;
}

/** @throws ServiceError `INVALID_ARGUMENT` */
export function checkedKey(key: string): string {
  if (/^[\x21-\x7e]{1,64}$/u.test(key)) return key;
  throw new ServiceError(
    'INVALID_ARGUMENT',
    'idempotency_key_invalid',
    'idempotency_key has to be 1 to 64 printable characters',
  );
}

async function earlierAnswer(
  { queries }: Transaction,
  caller: string,
  key: string,
  digest: Uint8Array,
): Promise<Uint8Array> {
  const row = await queries
    .selectFrom('idempotency')
    .select(['request_digest', 'outcome'])
    .where('caller', '=', caller)
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  if (Buffer.compare(row.request_digest, digest) !== 0) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'idempotency_key_reused',
      'this idempotency_key was used for another request',
    );
  }
  const outcome: unknown = JSON.parse(row.outcome);
  if (typeof outcome !== 'object' || outcome === null || !('answer' in outcome)) {
    throw new TypeError('idempotency: a committed row without an answer');
  }
  return Buffer.from(String(outcome.answer), 'base64');
}

const pending = '{}';
/** Longer than anybody retries. */
const keptMs = 24 * 3_600_000;
