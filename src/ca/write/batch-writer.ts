import type { Logger } from 'pino';
import { ServiceError } from '../../rpc/errors.ts';
import { StoreError } from '../store/options.ts';
import { CommitUnknownError, type Store } from '../store/store.ts';
import { runBatch } from './batch.ts';
import type { BatchWriter, Operation } from './operation.ts';
import { PriorityQueue, type Waiting } from './priority-queue.ts';

export interface BatchWriterOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Items that may wait; more are refused with advice when to retry. Default 4096. */
  readonly maxQueued?: number;
  /** Items of one transaction. Default 64. */
  readonly maxBatch?: number;
  /** How long a first item waits for company while there is much to do. Default 2. */
  readonly maxDelayMs?: number;
  /** For metrics: called after every transaction. */
  readonly onBatch?: (batch: { readonly items: number; readonly durationMs: number }) => void;
}

/** The write path of a replica: one transaction at a time, each for as many items as wait. */
export function createBatchWriter(options: BatchWriterOptions): BatchWriter {
  return new Writer(options);
}

class Writer implements BatchWriter {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #maxQueued: number;
  readonly #maxBatch: number;
  readonly #maxDelayMs: number;
  readonly #onBatch: BatchWriterOptions['onBatch'];
  readonly #queue = new PriorityQueue();
  /** The loop while it runs, and for good once there is nothing more to take. */
  #running: Promise<void> | undefined;
  #closed = false;
  #lastItems = 0;
  #msPerItem = startMsPerItem;
  #enough: (() => void) | undefined;

  constructor(options: BatchWriterOptions) {
    this.#store = options.store;
    this.#log = options.log;
    this.#maxQueued = options.maxQueued ?? 4096;
    this.#maxBatch = options.maxBatch ?? 64;
    this.#maxDelayMs = options.maxDelayMs ?? 2;
    this.#onBatch = options.onBatch;
  }

  get queued(): number {
    return this.#queue.length;
  }

  submit<Item, Result>(operation: Operation<Item, Result>, item: Item): Promise<Result> {
    const refusal = this.#refusal(operation.priority);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise<Result>((resolve, reject) => {
      // Items of one operation meet only in its own `apply`, so that what it takes and answers is
      // what was given and is waited for here.
      this.#queue.push({
        operation: operation,
        item,
        resolve: resolve as (result: unknown) => void,
        reject,
      });
      if (this.#queue.length >= this.#maxBatch) this.#enough?.();
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#enough?.();
    await this.#running;
  }

  #refusal(priority: Operation<unknown, unknown>['priority']): ServiceError | undefined {
    if (this.#closed)
      return new ServiceError('UNAVAILABLE', 'stopping', 'the authority is stopping');
    if (this.#queue.length >= this.#maxQueued) {
      const waitMs = this.#queue.length * this.#msPerItem;
      return new ServiceError('RESOURCE_EXHAUSTED', 'busy', 'too many requests wait', {
        retryAfterMs: Math.min(Math.max(Math.ceil(waitMs), minRetryMs), maxRetryMs),
      });
    }
    // A certificate is made only by a store that is well; to revoke, it need only be there.
    if (priority !== 'other' && this.#store.problem !== undefined) return notNow(unwell);
    return undefined;
  }

  async #run(): Promise<void> {
    // What was submitted in this turn of the event loop comes along.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      await this.#company();
      const batch = this.#queue.take(this.#maxBatch);
      this.#lastItems = batch.length;
      const started = performance.now();
      await this.#commit(batch);
      const durationMs = performance.now() - started;
      this.#msPerItem += (durationMs / batch.length - this.#msPerItem) / 8;
      this.#onBatch?.({ items: batch.length, durationMs });
    }
    this.#running = undefined;
  }

  /** Under load a batch waits a little for more; a caller that is alone is served at once. */
  async #company(): Promise<void> {
    if (this.#closed || this.#lastItems <= 1 || this.#queue.length >= this.#maxBatch) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#maxDelayMs);
      this.#enough = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#enough = undefined;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    let settle;
    try {
      settle = await this.#store.transact((transaction) => runBatch(transaction, batch));
    } catch (error) {
      const [only] = batch;
      if (only !== undefined && batch.length === 1) {
        only.reject(this.#explain(error, only.operation.name));
      } else if (concernsAll(error)) {
        for (const waiting of batch) waiting.reject(this.#explain(error, waiting.operation.name));
      } else {
        // One item spoiled it, and nothing says which.
        for (const waiting of batch) await this.#commit([waiting]);
      }
      return;
    }
    settle();
  }

  #explain(error: unknown, operation: string): ServiceError {
    if (error instanceof ServiceError) return error;
    if (error instanceof CommitUnknownError) {
      return notNow('it is not known whether this was done: ask again, with the same key');
    }
    this.#log.error({ err: error, operation }, 'a change could not be made');
    if (error instanceof StoreError || this.#store.problem !== undefined) return notNow(unwell);
    return new ServiceError('INTERNAL', 'internal', 'the authority failed');
  }
}

/** Whether an error says nothing about any one item. */
function concernsAll(error: unknown): boolean {
  return error instanceof CommitUnknownError || error instanceof StoreError;
}

function notNow(message: string): ServiceError {
  return new ServiceError('UNAVAILABLE', 'store_unavailable', message, {
    retryAfterMs: awayRetryMs,
  });
}

const unwell = 'the store takes no changes now';
const startMsPerItem = 1;
const minRetryMs = 50;
const maxRetryMs = 30_000;
const awayRetryMs = 2000;
