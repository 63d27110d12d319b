import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { problemOf, readBounded } from '../../../identity/index.ts';
import type { AgentEvent } from '../../fleet/agent-api/messages.ts';
import { StateError } from '../state/state-error.ts';
import { decodeEventLines } from './event-line.ts';

/** One file of events, named after the first it has or will have. */
export class Segment {
  readonly first: number;
  readonly #path: string;
  /** Where each event ends in the file. */
  readonly #ends: number[];
  #handle: FileHandle | undefined;
  #beyond = 0;

  private constructor(directory: string, first: number, ends: readonly number[]) {
    this.first = first;
    this.#path = join(directory, segmentName(first));
    this.#ends = [...ends];
  }

  /** A new one, which its directory has to be synced for. */
  static async create(directory: string, first: number): Promise<Segment> {
    const segment = new Segment(directory, first, []);
    segment.#handle = await open(segment.#path, newFile, 0o600);
    return segment;
  }

  /**
   * Finds what is whole in a file. `isLast`: what a crash left of a write is cut off, and the file is added to, unless there
   * are whole events behind the damage: their numbers were given. Rejects with {@link StateError}.
   */
  static async recover(directory: string, first: number, isLast: boolean): Promise<Segment> {
    const path = join(directory, segmentName(first));
    const bytes = await readSegment(path);
    const { ends, beyond } = decodeEventLines(bytes, first);
    const segment = new Segment(directory, first, ends);
    segment.#beyond = beyond;
    segment.isDamaged = segment.bytes < bytes.length;
    if (!isLast || beyond > 0) return segment;
    segment.#handle = await open(path, existingFile);
    await segment.#handle.truncate(segment.bytes);
    await segment.#handle.sync();
    return segment;
  }

  /** Something in it cannot be read. */
  isDamaged = false;

  /** The highest number that an event of it was given. */
  get highest(): number {
    return Math.max(this.last, this.#beyond);
  }

  get bytes(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** Sequence number of the newest event; one below `first` if there is none. */
  get last(): number {
    return this.first + this.#ends.length - 1;
  }

  /** Adds whole lines durably; what could not be written in full is taken back. */
  async append(lines: readonly Buffer[]): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) throw new TypeError('segment is closed');
    const start = this.bytes;
    const all = Buffer.concat(lines);
    try {
      for (let done = 0; done < all.length;) {
        const { bytesWritten } = await handle.write(all, done, all.length - done, start + done);
        done += bytesWritten;
      }
      await handle.datasync();
    } catch (error) {
      // Cannot make things worse: what is behind the last whole line is cut off at the next start, too.
      await handle.truncate(start).catch(() => undefined);
      throw error;
    }
    let end = start;
    for (const line of lines) this.#ends.push((end += line.length));
  }

  /**
   * Up to `max` events from `from` on, of at most `maxBytes` on disk, but at least one; none: what is there cannot be
   * read any more.
   */
  async read(from: number, max: number, maxBytes: number): Promise<readonly AgentEvent[]> {
    const index = Math.max(0, from - this.first);
    const start = index === 0 ? 0 : (this.#ends[index - 1] ?? this.bytes);
    let until = index;
    while (until < this.#ends.length && until - index < max) {
      if (until > index && (this.#ends[until] ?? 0) - start > maxBytes) break;
      until += 1;
    }
    if (until === index) return [];
    const length = (this.#ends[until - 1] ?? start) - start;
    const bytes = Buffer.alloc(length);
    let handle;
    try {
      handle = await open(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch {
      // Whoever removed it has those events: the rest is to be had all the same.
      return [];
    }
    try {
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } finally {
      await handle.close();
    }
    return decodeEventLines(bytes, this.first + index).events;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.#path, { force: true });
  }
}

async function readSegment(path: string): Promise<Buffer> {
  try {
    return Buffer.from((await readBounded(path, maxSegmentBytes)) ?? []);
  } catch (cause) {
    const problem = problemOf(cause);
    throw new StateError(`${path}: ${problem}; remove it to lose its events`, { cause });
  }
}

/** Names sort as the numbers do. */
export function segmentName(first: number): string {
  return `${String(first).padStart(16, '0')}.log`;
}

/** The first event of a file of this name; `undefined`: it is no segment. */
export function firstOfSegment(name: string): number | undefined {
  const first = Number(/^(\d{16})\.log$/u.exec(name)?.[1]);
  return Number.isSafeInteger(first) && first >= 1 ? first : undefined;
}

const newFile = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const existingFile = constants.O_RDWR | constants.O_NOFOLLOW;
/** Twice what a spool puts into one, and more. */
const maxSegmentBytes = 16 * 1024 * 1024;
