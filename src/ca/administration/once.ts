import type { AuthorityContext } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';
import { earlierAnswer, type IdempotentCall, recordAnswer } from './idempotency.ts';

/** How answers of a call are written and read: the generated message. */
export interface AnswerCodec<Answer> {
  encode(answer: Answer): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Answer;
}

/**
 * Makes a change in one transaction, once for each idempotency key; the same call again is answered
 * as the first time.
 */
export async function changeOnce<Answer>(
  { store }: AuthorityContext,
  call: IdempotentCall,
  codec: AnswerCodec<Answer>,
  work: (transaction: Transaction) => Promise<Answer>,
): Promise<Answer> {
  return await store.transact(async (transaction) => {
    const earlier = await earlierAnswer(transaction.queries, call, transaction.now);
    if (earlier !== undefined) return codec.decode(earlier);
    const answer = await work(transaction);
    await recordAnswer(transaction, call, codec.encode(answer).finish());
    return answer;
  });
}
