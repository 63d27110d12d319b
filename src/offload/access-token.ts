import { readFile, stat } from 'node:fs/promises';
import { asError, OffloadError, OffloadErrorCode } from './errors.ts';

/** The token that proves to the sidecar who we are. */
export interface TokenSource {
  /** The token to use now; `undefined`: none is needed. */
  current(): Promise<string | undefined>;
  /** After the sidecar refused `refused`: whether there is another one by now. */
  renew(refused: string | undefined): Promise<boolean>;
}

/** No token, or one that stays the same for the life of the process. */
export function fixedToken(token: string | undefined): TokenSource {
  return {
    current: () => Promise.resolve(token),
    renew: () => Promise.resolve(false),
  };
}

/** A token file, read again when it changes; looked at once a second at most. */
export class TokenFile implements TokenSource {
  readonly #path: string;
  readonly #now: () => number;
  #token: string | undefined;
  #version: string | undefined;
  #checkedAt = -Infinity;

  constructor(path: string, now: () => number = () => performance.now()) {
    this.#path = path;
    this.#now = now;
  }

  async current(): Promise<string> {
    if (this.#token === undefined || this.#now() - this.#checkedAt >= checkIntervalMs) {
      return this.#load();
    }
    return this.#token;
  }

  async renew(refused: string | undefined): Promise<boolean> {
    this.#version = undefined;
    return (await this.#load()) !== refused;
  }

  async #load(): Promise<string> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#path);
      const version = `${String(ino)}/${String(size)}/${String(mtimeMs)}`;
      if (this.#token === undefined || version !== this.#version) {
        if (size > maxTokenBytes) throw new Error(`longer than ${String(maxTokenBytes)} bytes`);
        const token = (await readFile(this.#path, 'utf8')).trim();
        if (token === '') throw new Error('empty');
        this.#token = token;
        this.#version = version;
      }
      this.#checkedAt = this.#now();
      return this.#token;
    } catch (error) {
      // A file that is being replaced must not break what the last one still allows.
      if (this.#token !== undefined) return this.#token;
      throw new OffloadError(
        OffloadErrorCode.unauthenticated,
        `cannot read token file ${this.#path}: ${asError(error).message}`,
        { phase: 'sidecar', reason: 'token_file_unreadable', cause: error },
      );
    }
  }
}

const checkIntervalMs = 1000;
const maxTokenBytes = 16_384;
