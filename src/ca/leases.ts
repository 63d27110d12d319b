import type { Store } from './store/store.ts';
import type { Transaction } from './store/transaction.ts';

/** The right to be the only replica that does something, for a while. */
export interface Lease {
  readonly name: string;
  readonly fence: number;
  /** Runs `work` in a transaction, if the lease is still held at its start; or rejects with {@link LeaseLostError}. */
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
  return Promise.reject(new LeaseLostError(`${options.name} ${String(work.length)}`));
}
