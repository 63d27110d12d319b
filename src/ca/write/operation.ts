import type { ServiceError } from '../../rpc/errors.ts';
import type { Transaction } from '../store/transaction.ts';

/** What became of one item of a batch. */
export type Outcome<Result> =
  | { readonly ok: true; readonly value: Result }
  | { readonly ok: false; readonly error: ServiceError };

/**
 * One kind of change. `apply` gets the items of a batch at once, so that it can read and write with
 * few statements, and answers for each, in order. A refusal is an outcome, and may be audited; a
 * rejection rolls the batch back, after which each item is tried alone.
 */
export interface Operation<Item, Result> {
  readonly name: string;
  /** Renewals go before enrolments, both before the rest. */
  readonly priority: 'renew' | 'enroll' | 'other';
  apply(transaction: Transaction, items: readonly Item[]): Promise<readonly Outcome<Result>[]>;
}

/** Collects items for at most about 2 ms or 64 of them, and commits them together. */
export interface BatchWriter {
  /**
   * Resolves when the change is durable. Rejects with the item's `ServiceError`; with
   * `RESOURCE_EXHAUSTED` and a time to retry when too much waits; with `UNAVAILABLE` when it is not
   * known whether the commit took place.
   */
  submit<Item, Result>(operation: Operation<Item, Result>, item: Item): Promise<Result>;
  readonly queued: number;
  /** Finishes what waits, takes no more. */
  close(): Promise<void>;
}
