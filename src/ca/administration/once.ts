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
  context: AuthorityContext,
  call: IdempotentCall,
  codec: AnswerCodec<Answer>,
  work: (transaction: Transaction) => Promise<Outcome<Answer>>,
): Promise<Answer> {
  return await changeInPieces(context, call, codec, async (transaction) => {
    const outcome = await work(transaction);
    return outcome.ok ? done({ answer: outcome.value, isLast: true }) : outcome;
  });
}

/** What has come of a change so far. */
export interface Piece<Answer> {
  readonly answer: Answer;
  readonly isLast: boolean;
}

/**
 * As {@link changeOnce} for a change that would hold up everything else: in several transactions, with
 * others in between. Only the last keeps the answer, so that the same call after an interruption goes on
 * where it was; `work` has to find out by itself what is left.
 */
export async function changeInPieces<Answer>(
  { store }: AuthorityContext,
  call: IdempotentCall,
  codec: AnswerCodec<Answer>,
  work: (transaction: Transaction) => Promise<Outcome<Piece<Answer>>>,
): Promise<Answer> {
  for (;;) {
    const outcome = await store.transact(async (transaction): Promise<Outcome<Piece<Answer>>> => {
      const earlier = await earlierAnswer(transaction.queries, call, transaction.now);
      if (earlier !== undefined) return done({ answer: codec.decode(earlier), isLast: true });
      const outcome = await work(transaction);
      if (outcome.ok && outcome.value.isLast) {
        await recordAnswer(transaction, call, codec.encode(outcome.value.answer).finish());
      }
      return outcome;
    });
    if (!outcome.ok) throw outcome.error;
    if (outcome.value.isLast) return outcome.value.answer;
  }
}

/** A change that took place. */
export function done<Answer>(value: Answer): Outcome<Answer> {
  return { ok: true, value };
}
