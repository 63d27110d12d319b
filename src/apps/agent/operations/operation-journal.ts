import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readBounded, StateDirectory, syncDirectory } from '../../../identity/index.ts';
import { operation } from '../../fleet/agent-api/messages.ts';
import { processMark } from './process-mark.ts';
import { StateError } from '../state/state-error.ts';

const schema = operation.extend({
  key: z.string().max(128),
  /** SHA-256 of name and arguments: the key stands for these alone. */
  requestHash: z.string(),
  process: processMark.optional(),
});

/** All that is known of an operation. */
export type JournalEntry = Readonly<z.infer<typeof schema>>;

/** Operations on disk, a file each, found by their idempotency key; what they printed stays there. */
export class OperationJournal {
  readonly #directory: StateDirectory;
  /** Without what they printed. */
  readonly #entries = new Map<string, JournalEntry>();

  private constructor(directory: StateDirectory) {
    this.#directory = directory;
  }

  static async open(state: string): Promise<OperationJournal> {
    const directory = await StateDirectory.open(join(state, 'operations'));
    const journal = new OperationJournal(directory);
    for (const name of await readdir(directory.path)) {
      if (/^[0-9a-f]{64}\.json$/u.test(name)) journal.#remember(await journal.#read(name));
    }
    return journal;
  }

  get size(): number {
    return this.#entries.size;
  }

  get entries(): Iterable<JournalEntry> {
    return this.#entries.values();
  }

  byKey(key: string): JournalEntry | undefined {
    return this.#entries.get(key);
  }

  /** With what it printed. */
  async byId(id: string): Promise<JournalEntry | undefined> {
    for (const entry of this.#entries.values()) {
      if (entry.id === id) return await this.#read(fileOf(entry.key));
    }
    return undefined;
  }

  /** Resolves when it is durable. */
  async write(entry: JournalEntry): Promise<void> {
    await this.#directory.replace(fileOf(entry.key), Buffer.from(`${JSON.stringify(entry)}\n`));
    this.#remember(entry);
  }

  /** Forgets those that ended before a moment: their keys may be used again. */
  async prune(before: Date): Promise<void> {
    let pruned = 0;
    for (const { key, endedAt } of this.#entries.values()) {
      if (endedAt === undefined || new Date(endedAt) >= before) continue;
      await rm(join(this.#directory.path, fileOf(key)), { force: true });
      this.#entries.delete(key);
      pruned += 1;
    }
    if (pruned > 0) await syncDirectory(this.#directory.path);
  }

  async close(): Promise<void> {
    await this.#directory.close();
  }

  #remember(entry: JournalEntry): void {
    this.#entries.set(entry.key, { ...entry, output: '' });
  }

  async #read(name: string): Promise<JournalEntry> {
    const path = join(this.#directory.path, name);
    try {
      const bytes = (await readBounded(path)) ?? new Uint8Array();
      return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    } catch (cause) {
      throw new StateError(`${path} is damaged; restore it, or remove it to forget the operation`, {
        cause,
      });
    }
  }
}

/** Keys are the manager's: they are no file names. */
function fileOf(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}
