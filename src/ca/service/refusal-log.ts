import { toHex } from '../../bytes/bytes.ts';
import { RateBudget } from '../../rpc/rate-budget.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import type { RefusalReason } from '../issue/refusal.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Operation, Outcome } from '../write/operation.ts';

/** A refusal that needed nothing from the store, of a request whose token is genuine. */
export interface PlainRefusal {
  readonly action: string;
  readonly subject: Uint8Array;
  readonly reason: RefusalReason;
  readonly caller: Caller;
  readonly request: Uint8Array;
}

/**
 * Writes such refusals to the audit log, but no more than a few per second: each is a write. How many
 * were left out stands in the next row.
 */
export class RefusalLog {
  readonly #context: AuthorityContext;
  readonly #budget: RateBudget;
  #leftOut = 0;

  constructor(context: AuthorityContext) {
    this.#context = context;
    this.#budget = new RateBudget(WRITES, context.now);
  }

  /** Resolves when it is written or left out; a store that is away does not change the answer. */
  async note(refusal: PlainRefusal): Promise<void> {
    if (!this.#budget.available) {
      this.#leftOut += 1;
      return;
    }
    this.#budget.spend();
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    try {
      await this.#context.writer.submit(noteOperation, { ...refusal, leftOut });
    } catch (error) {
      this.#leftOut += leftOut + 1;
      this.#context.log.warn(
        { err: error, reason: refusal.reason },
        'refusal could not be audited',
      );
    }
  }
}

const noteOperation: Operation<PlainRefusal & { readonly leftOut: number }, undefined> = {
  name: 'refusal',
  priority: 'other',
  apply: (transaction, items) => Promise.resolve(items.map((item) => writeRow(transaction, item))),
};

function writeRow(
  transaction: Transaction,
  {
    caller,
    action,
    subject,
    request,
    reason,
    leftOut,
  }: PlainRefusal & { readonly leftOut: number },
): Outcome<undefined> {
  transaction.audit({
    actor: caller.name,
    action,
    subject: toHex(subject),
    outcome: 'refused',
    request: toHex(request),
    details: {
      reason,
      source: caller.source,
      ...(leftOut === 0 ? {} : { others_left_out: leftOut }),
    },
  });
  return { ok: true, value: undefined };
}

const WRITES = { burst: 200, perSecond: 20 };
