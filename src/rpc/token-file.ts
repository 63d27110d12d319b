import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { equalConstantTime } from '../bytes/bytes.ts';

/**
 * Bearer tokens in a file, one on each line, so that an old and a new one can overlap. Only their
 * digests are kept, compared in constant time. The file is looked at on every check: a token that
 * was taken out of it is void at once, and a file that cannot be read holds no token.
 */
export class TokenFile {
  readonly path: string;
  #digests: readonly Uint8Array[] = [];
  #version = '';
  #problem: string | undefined;

  constructor(path: string) {
    this.path = path;
    this.#refresh();
  }

  /** Why no token can match, if the file is missing, unreadable or holds none. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether the file holds this token now. */
  matches(token: string): boolean {
    this.#refresh();
    if (token.length < minTokenLength || token.length > maxTokenLength) return false;
    const digest = createHash('sha256').update(token, 'utf8').digest();
    let found = false;
    for (const known of this.#digests) found = equalConstantTime(known, digest) || found;
    return found;
  }

  #refresh(): void {
    try {
      const { ino, size, mtimeNs, ctimeNs } = statSync(this.path, { bigint: true });
      const version = [ino, size, mtimeNs, ctimeNs].join(':');
      if (version === this.#version) return;
      this.#digests = size > maxFileBytes ? [] : digestsOf(this.path);
      this.#version = version;
      this.#problem =
        this.#digests.length > 0
          ? undefined
          : `${this.path}: holds no token of ${String(minTokenLength)} to ${String(maxTokenLength)} characters`;
    } catch (error) {
      this.#digests = [];
      this.#version = '';
      this.#problem = `${this.path}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** The text never becomes a string: digests are made from slices of the buffer, which is wiped. */
function digestsOf(path: string): readonly Uint8Array[] {
  const content = readFileSync(path);
  const digests: Uint8Array[] = [];
  for (let start = 0; start < content.length;) {
    const newline = content.indexOf(0x0a, start);
    const end = newline === -1 ? content.length : newline;
    const line = trimmed(content.subarray(start, end));
    if (line.length >= minTokenLength && line.length <= maxTokenLength) {
      digests.push(createHash('sha256').update(line).digest());
    }
    start = end + 1;
  }
  content.fill(0);
  return digests;
}

function trimmed(line: Uint8Array): Uint8Array {
  let start = 0;
  let end = line.length;
  while (start < end && isSpace(line[start])) start += 1;
  while (end > start && isSpace(line[end - 1])) end -= 1;
  return line.subarray(start, end);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

/** Shorter ones could be guessed. */
const minTokenLength = 16;
const maxTokenLength = 4096;
const maxFileBytes = 65536n;
