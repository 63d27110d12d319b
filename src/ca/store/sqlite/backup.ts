import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { StoreError } from '../../../database/errors.ts';

/** What the thread that copies is told. */
export interface BackupData {
  readonly from: string;
  readonly to: string;
}

/**
 * Writes a consistent copy, durable when this resolves, while the store is in use. The copy knows
 * that it is one: opened in place of the store it refuses changes until that is accepted.
 */
export async function backUp(from: string, to: string): Promise<void> {
  if (existsSync(to)) throw new StoreError(`${to}: there is a file already`);
  const workerData: BackupData = { from, to };
  const worker = new Worker(new URL(threadFile, import.meta.url), { workerData });
  await new Promise<void>((resolve, reject) => {
    worker.once('error', (error) => {
      reject(new StoreError(`${to}: the backup could not be written`, { cause: error }));
    });
    worker.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new StoreError(`${to}: the backup was not finished`));
    });
  });
}

/** From source it is a `.ts` file, built a `.js` file, as this one is. */
const threadFile = import.meta.url.endsWith('.ts') ? './backup-thread.ts' : './backup-thread.js';
