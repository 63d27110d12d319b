import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Timers } from '../../../identity/index.ts';

/** Content and circumstances of a regular file. */
export interface FileDigest {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Permission bits, octal. */
  readonly mode: string;
  readonly modifiedAt: string;
}

export interface DigestLimits {
  readonly maxFileBytes: number;
  /** Over all files: hashing must not take the disk from others. */
  readonly bytesPerSecond: number;
}

/** A file that is not looked into; the message says why. */
export class NotDigestedError extends Error {
  override readonly name = 'NotDigestedError';
}

/**
 * Hashes files piece by piece, so slowly that others do not notice. What is no regular file, or longer than allowed, and a
 * link at the end of a path, are not read. Rejects with {@link NotDigestedError} or the system's error.
 */
export class FileDigester {
  readonly #limits: DigestLimits;
  readonly #timers: Timers;
  readonly #signal: AbortSignal;

  constructor(limits: DigestLimits, timers: Timers, signal: AbortSignal) {
    this.#limits = limits;
    this.#timers = timers;
    this.#signal = signal;
  }

  async digest(path: string): Promise<FileDigest> {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(path, flags);
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw new NotDigestedError('is not a regular file');
      const hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(chunkBytes);
      let length = 0;
      for (;;) {
        this.#signal.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, length);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        length += bytesRead;
        // A file may grow while it is read.
        if (length > this.#limits.maxFileBytes) {
          throw new NotDigestedError(`is longer than ${String(this.#limits.maxFileBytes)} bytes`);
        }
        await this.#pause((bytesRead / this.#limits.bytesPerSecond) * 1000);
      }
      return {
        sha256: hash.digest('hex'),
        sizeBytes: length,
        mode: (found.mode & 0o7777).toString(8).padStart(4, '0'),
        modifiedAt: found.mtime.toISOString(),
      };
    } finally {
      await handle.close();
    }
  }

  #debtMs = 0;

  /** Small files are not each worth a timer: what they cost is gathered. */
  async #pause(ms: number): Promise<void> {
    this.#debtMs += ms;
    if (this.#debtMs < worthMs) return;
    const pauseMs = this.#debtMs;
    this.#debtMs = 0;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        stop();
        this.#signal.removeEventListener('abort', end);
        resolve();
      };
      const stop = this.#timers.after(pauseMs, end);
      this.#signal.addEventListener('abort', end);
    });
  }
}

const chunkBytes = 256 * 1024;
const worthMs = 5;
