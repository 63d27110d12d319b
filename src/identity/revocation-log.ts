import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { concat, equal } from '../bytes/bytes.ts';
import type { RevocationList } from './revocation-list.ts';
import {
  encodeRecord,
  type FeedPosition,
  readRecords,
  type RevocationRecord,
} from './revocation-record.ts';
import { problemOf, readBounded, type StateDirectory } from './state-directory.ts';

/**
 * The file `revocations`: eight bytes that say what it is, then one record for each step of the feed
 * followed. Appended to and synced, so that a revocation costs one small write however many there are;
 * rewritten when most of it is out of date. A damaged end is cut off: the feed is then asked for what
 * was in it.
 */
export class RevocationLog {
  readonly #directory: StateDirectory;
  readonly #path: string;
  #handle: FileHandle | undefined;
  #bytes = 0;
  #bytesAfterRewrite = 0;

  private constructor(directory: StateDirectory) {
    this.#directory = directory;
    this.#path = join(directory.path, fileName);
  }

  /** Reads what is there into `list`. Problems name the file; with one, less is known than was. */
  static async open(
    directory: StateDirectory,
    list: RevocationList,
  ): Promise<{
    readonly log: RevocationLog;
    readonly position: FeedPosition;
    readonly problems: readonly string[];
  }> {
    const log = new RevocationLog(directory);
    const { records, problems } = await log.#read();
    for (const { added } of records) list.add(added);
    list.prune();
    return { log, position: records.at(-1)?.position ?? noPosition, problems };
  }

  /** Appends durably. Rejects with an error that names the file; what was there is still there. */
  async append(record: RevocationRecord): Promise<void> {
    const bytes = encodeRecord(record);
    try {
      this.#handle ??= await this.#openForAppending();
      await this.#handle.appendFile(bytes);
      await this.#handle.datasync();
      this.#bytes += bytes.length;
    } catch (cause) {
      await this.close();
      throw new Error(`cannot write ${this.#path}: ${problemOf(cause)}`, { cause });
    }
  }

  /** Whether most of the file is likely out of date. */
  get isOverdue(): boolean {
    return this.#bytes > 2 * this.#bytesAfterRewrite + slackBytes;
  }

  /** Replaces the file by what the list holds now. Durable, and all or nothing. */
  async rewrite(position: FeedPosition, list: RevocationList): Promise<void> {
    await this.close();
    const entries = [...list.all()];
    const parts: Uint8Array[] = [magic];
    for (let from = 0; from < entries.length; from += entriesPerRecord) {
      const added = entries.slice(from, from + entriesPerRecord);
      parts.push(encodeRecord({ position: noPosition, added }));
    }
    // Last: who finds less than all of it must not believe to be as far as this.
    parts.push(encodeRecord({ position, added: [] }));
    const bytes = concat(...parts);
    await this.#directory.replace(fileName, bytes);
    this.#bytes = bytes.length;
    this.#bytesAfterRewrite = bytes.length;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #read(): Promise<{
    readonly records: readonly RevocationRecord[];
    readonly problems: readonly string[];
  }> {
    let file: Uint8Array | undefined;
    try {
      file = await readBounded(this.#path, maxFileBytes);
    } catch (error) {
      return { records: [], problems: [`${this.#path} ${problemOf(error)}`] };
    }
    if (file === undefined) return { records: [], problems: [] };
    if (file.length < magic.length || !equal(file.subarray(0, magic.length), magic)) {
      const problem = file.length === 0 ? 'is empty' : 'is not a file of ours';
      return { records: [], problems: [`${this.#path} ${problem}`] };
    }
    const { records, length } = readRecords(file.subarray(magic.length));
    this.#bytes = magic.length + length;
    const lost = file.length - this.#bytes;
    const problems =
      lost === 0 ? [] : [`${this.#path} is damaged: its last ${String(lost)} bytes are not used`];
    return { records, problems };
  }

  /** Behind the last whole record: a damaged end goes. */
  async #openForAppending(): Promise<FileHandle> {
    if (this.#bytes === 0) {
      await this.#directory.replace(fileName, magic);
      this.#bytes = magic.length;
    }
    const handle = await open(
      this.#path,
      constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW,
    );
    try {
      await handle.truncate(this.#bytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }
}

/** Nothing was ever heard. */
export const noPosition: FeedPosition = { epoch: '', sequence: 0, heardAt: undefined };

const fileName = 'revocations';
const magic = Buffer.from('SKRL\0\0\0\u0001', 'latin1');
const entriesPerRecord = 10_000;
const slackBytes = 65_536;
/** A million entries by SPIFFE ID, twice. */
const maxFileBytes = 512 * 1024 * 1024;
