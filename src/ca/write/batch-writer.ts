import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';
import type { BatchWriter } from './operation.ts';

export interface BatchWriterOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Items that may wait; more are refused with advice when to retry. Default 4096. */
  readonly maxQueued?: number;
  /** Items of one transaction. Default 64. */
  readonly maxBatch?: number;
  /** How long a first item waits for company. Default 2. */
  readonly maxDelayMs?: number;
  /** For metrics: called after every transaction. */
  readonly onBatch?: (batch: { readonly items: number; readonly durationMs: number }) => void;
}

/** The write path of a replica: one transaction at a time, each for as many items as wait. */
export function createBatchWriter(options: BatchWriterOptions): BatchWriter {
  throw new Error(`no writer for ${options.store.kind}`);
}
