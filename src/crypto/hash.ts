import { createHash, type Hash } from 'node:crypto';

/** Hashes of the suites and signature schemes we speak. */
export type HashName = 'sha256' | 'sha384' | 'sha512';

/** Bytes of a digest. */
export const hashLength: Readonly<Record<HashName, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** Digest of the parts one after the other. */
export function hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const running = createHash(name);
  for (const part of parts) running.update(part);
  return running.digest();
}

/** A hash that goes on after its value was read, as a handshake transcript needs it. */
export interface RunningHash {
  readonly name: HashName;
  update(bytes: Uint8Array): void;
  /** Digest of all bytes so far; more may follow. */
  digest(): Uint8Array;
}

/** Starts an empty {@link RunningHash}. */
export function createRunningHash(name: HashName): RunningHash {
  return new NodeRunningHash(name);
}

class NodeRunningHash implements RunningHash {
  readonly name: HashName;
  readonly #hash: Hash;

  constructor(name: HashName) {
    this.name = name;
    this.#hash = createHash(name);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }
}
