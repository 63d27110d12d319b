import { createHash } from 'node:crypto';

/** Pseudo-random choices that are the same for the same seed, on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `limit` - 1; 0 for a limit below 1. */
  below(limit: number): number {
    return limit < 1 ? 0 : Math.floor((this.#next() / 2 ** 32) * limit);
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new RangeError('nothing to choose from');
    return choice;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** mulberry32. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}

/** Choices that depend on nothing but some bytes: a kept case behaves as when it was found. */
export function randomOf(bytes: Uint8Array): Random {
  return new Random(createHash('sha256').update(bytes).digest().readUInt32BE(0));
}

/** Bytes in pieces, cut where `random` says: often one by one at first, sometimes not at all. */
export function pieces(bytes: Uint8Array, random: Random): readonly Uint8Array[] {
  const longest = random.pick([1, 3, 17, 300, 5000]);
  const cut: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const length = 1 + random.below(offset < 64 ? Math.min(longest, 7) : longest);
    cut.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  return cut;
}
