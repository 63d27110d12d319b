import { createHash } from 'node:crypto';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import type { Queries, Transaction } from '../store/transaction.ts';

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
 * What a call was answered when it was made with this key before; `undefined`: it was not.
 *
 * @throws ServiceError `INVALID_ARGUMENT` for a key that is unusable, or was used for another request
 */
export async function earlierAnswer(
  queries: Queries,
  call: IdempotentCall,
  now: number,
): Promise<Uint8Array | undefined> {
  const row = await queries
    .selectFrom('idempotency')
    .select(['request_digest', 'outcome'])
    .where('caller', '=', call.caller.name)
    .where('key', '=', checkedKey(call.key))
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  if (Buffer.compare(row.request_digest, digestOf(call)) !== 0) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'idempotency_key_reused',
      'this idempotency_key was used for another request',
    );
  }
  const outcome: unknown = JSON.parse(row.outcome);
  if (typeof outcome !== 'object' || outcome === null || !('answer' in outcome)) {
    throw new TypeError('idempotency: a row without an answer');
  }
  return Buffer.from(String(outcome.answer), 'base64');
}

/**
 * Writes down, in the transaction of the change itself, what a call is answered: either both are
 * durable or neither is. Answers are kept for a day and may hold nothing secret.
 *
 * @throws ServiceError `ABORTED` if the same call was made at the same time and won
 */
export async function recordAnswer(
  { queries, now }: Transaction,
  call: IdempotentCall,
  answer: Uint8Array,
): Promise<void> {
  const [, inserted] = await Promise.all([
    queries.deleteFrom('idempotency').where('expires_at', '<=', now).execute(),
    queries
      .insertInto('idempotency')
      .values({
        caller: call.caller.name,
        key: checkedKey(call.key),
        request_digest: digestOf(call),
        outcome: JSON.stringify({ answer: Buffer.from(answer).toString('base64') }),
        expires_at: now + keptMs,
      })
      .onConflict((conflict) => conflict.columns(['caller', 'key']).doNothing())
      .returning('key')
      .executeTakeFirst(),
  ]);
  if (inserted !== undefined) return;
  throw new ServiceError(
    'ABORTED',
    'idempotency_key_in_use',
    'a call with this idempotency_key was made at the same time; try again',
  );
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

function digestOf({ method, request }: IdempotentCall): Buffer {
  return createHash('sha256').update(`${method}\0`).update(request).digest();
}

/** Longer than anybody retries. */
const keptMs = 24 * 3_600_000;
