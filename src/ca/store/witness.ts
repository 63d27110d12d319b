import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { equal, toHex } from '../../bytes/bytes.ts';
import type { Head } from './transaction-scope.ts';

/**
 * What this replica knows of how far the store had come: in memory, and in a file that is not part of
 * the store. A store that is behind its witness, or continues otherwise, has lost commits: it was
 * restored from a backup, or a lagging standby took over.
 */
export class Witness {
  readonly #path: string | undefined;
  #head: Head | undefined;
  #epoch: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Reads the file, if there is one. Throws if it cannot be read. */
  constructor(path: string | undefined) {
    this.#path = path;
    const found = path === undefined ? undefined : readWitness(path);
    this.#head = found?.head;
    this.#epoch = found?.epoch;
  }

  /** What has to be in the store; absent: nothing is known. */
  expected(epoch: string): Head | undefined {
    // A new epoch is what an operator says who has accepted the restored store.
    return this.#epoch === epoch ? this.#head : undefined;
  }

  /** Notes what is committed; written at most once a second, since an older witness is still true. */
  saw(epoch: string, head: Head): void {
    this.#epoch = epoch;
    this.#head = head;
    if (this.#path === undefined) return;
    this.#timer ??= setTimeout(() => {
      this.flush();
    }, writeEveryMs).unref();
  }

  /** Writes what is known now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#path === undefined || this.#head === undefined) return;
    const text = JSON.stringify({
      epoch: this.#epoch,
      seq: this.#head.seq,
      hash: toHex(this.#head.hash),
    });
    try {
      writeFileSync(`${this.#path}.new`, text, { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch {
      // Such as a full disk, which the store reports by itself; the older witness stays true.
    }
  }
}

/** Whether what the store has at the witnessed place is what was witnessed there. */
export function agrees(expected: Head, found: Head | undefined): boolean {
  return found?.seq === expected.seq && equal(found.hash, expected.hash);
}

/** A file that is no witness, such as one a power failure left empty, says nothing. */
function readWitness(path: string): { readonly epoch: string; readonly head: Head } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent || error instanceof SyntaxError) return undefined;
    throw error;
  }
  const witness = witnessSchema.safeParse(value);
  if (!witness.success) return undefined;
  const { epoch, seq, hash } = witness.data;
  return { epoch, head: { seq, hash: new Uint8Array(Buffer.from(hash, 'hex')) } };
}

const witnessSchema = z.object({
  epoch: z.string(),
  seq: z.int(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
});
const writeEveryMs = 1000;
