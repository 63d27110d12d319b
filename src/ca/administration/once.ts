import type { AuthorityContext } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Outcome } from '../write/operation.ts';
import { earlierAnswer, type IdempotentCall, recordAnswer } from './idempotency.ts';

/** How answers of a call are written and read: the generated message. */
export interface AnswerCodec<Answer> {
  encode(answer: Answer): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Answer;
}

/**
 * Makes a change in one transaction, once for each idempotency key; the same call again is answered
 * as the first time. A refusal is an outcome, so that its audit entry is kept; it may be tried again
 * with the same key.
 *
 * @throws ServiceError of the refusal, and those of {@link earlierAnswer} and {@link recordAnswer}
 */
export async function changeOnce<Answer>(
  { store }: AuthorityContext,
  call: IdempotentCall,
  codec: AnswerCodec<Answer>,
  work: (transaction: Transaction) => Promise<Outcome<Answer>>,
): Promise<Answer> {
  const outcome = await store.transact(async (transaction): Promise<Outcome<Answer>> => {
    const earlier = await earlierAnswer(transaction.queries, call, transaction.now);
    if (earlier !== undefined) return { ok: true, value: codec.decode(earlier) };
    const done = await work(transaction);
    if (done.ok) await recordAnswer(transaction, call, codec.encode(done.value).finish());
    return done;
  });
  if (outcome.ok) return outcome.value;
  throw outcome.error;
}

/** A change that took place. */
export function done<Answer>(value: Answer): Outcome<Answer> {
  return { ok: true, value };
}
