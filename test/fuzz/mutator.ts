import type { Random } from './random.ts';

/** Makes a new input out of known ones. */
export type Mutator = (random: Random, pool: readonly Uint8Array[]) => Uint8Array;

/** One to four changes at the level of bytes; `tokens` are words the format knows. */
export function byteMutator(tokens: readonly Uint8Array[] = []): Mutator {
  return (random, pool) => {
    let bytes = random.pick(pool);
    const changes = 1 + random.below(4);
    for (let count = 0; count < changes; count++) {
      bytes = changeOnce(bytes, random, pool, tokens);
    }
    return bytes.length > maxBytes ? bytes.subarray(0, maxBytes) : bytes;
  };
}

/** Sometimes one way, sometimes the other. */
export function either(...mutators: readonly Mutator[]): Mutator {
  return (random, pool) => random.pick(mutators)(random, pool);
}

function changeOnce(
  bytes: Uint8Array,
  random: Random,
  pool: readonly Uint8Array[],
  tokens: readonly Uint8Array[],
): Uint8Array {
  const at = random.below(bytes.length);
  switch (random.below(11)) {
    case 0:
      return withByte(bytes, at, (byte) => byte ^ (1 << random.below(8)));
    case 1:
      return withByte(bytes, at, () => random.pick(edges));
    case 2:
      return withByte(bytes, at, (byte) => byte + random.pick([1, -1]));
    case 3:
      return replaced(bytes, at, 0, random.bytes(1 + random.below(8)));
    case 4:
      return replaced(bytes, at, 1 + random.below(16), noBytes);
    case 5:
      return bytes.subarray(0, at);
    case 6: {
      const length = 1 + random.below(64);
      return replaced(bytes, random.below(bytes.length + 1), 0, bytes.subarray(at, at + length));
    }
    case 7: {
      const other = random.pick(pool);
      const from = random.below(other.length);
      const part = other.subarray(from, from + 1 + random.below(200));
      return replaced(bytes, at, random.below(part.length + 1), part);
    }
    case 8:
      return withLength(bytes, at, random);
    case 9: {
      if (tokens.length === 0) return replaced(bytes, at, 2, random.bytes(2));
      const token = random.pick(tokens);
      return replaced(bytes, at, random.below(2) * token.length, token);
    }
    default: {
      // Much of the same: what is quadratic or recursive shows here.
      const part = bytes.subarray(at, at + 1 + random.below(6));
      const times = random.pick([4, 40, 400, 4000]);
      return replaced(bytes, at, 0, Buffer.concat(Array.from({ length: times }, () => part)));
    }
  }
}

function withByte(bytes: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  if (at < changed.length) changed[at] = change(changed[at] ?? 0);
  return changed;
}

/** Where a length of two or three bytes may stand: a little more, a little less, or an edge. */
function withLength(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const size = random.pick([2, 3]);
  if (at + size > bytes.length) return bytes;
  const changed = Buffer.from(bytes);
  const limit = 256 ** size;
  const old = changed.readUIntBE(at, size);
  const value = random.pick([old + 1, old - 1, old + 4, limit - 1, 0, 16384, 16385, 18432]);
  changed.writeUIntBE((value + limit) % limit, at, size);
  return changed;
}

function replaced(bytes: Uint8Array, at: number, length: number, by: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + length)]);
}

const noBytes = new Uint8Array(0);
const edges = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x30, 0x16];
/** Longer inputs are made of repetitions and cost cases. */
const maxBytes = 100_000;
