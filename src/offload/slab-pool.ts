import type { Slab } from './record-writer.ts';

/**
 * Memory for ciphertext, used again once the kernel has it. Only for sockets that copy what they
 * write: a stream that passes references on would see them overwritten.
 */
export function pooledSlab(length: number): Slab {
  if (length <= smallBytes) return { bytes: Buffer.allocUnsafe(length), release: nothing };
  if (length > slabBytes) return ownSlab(length);
  const memory = freeSlabs.pop() ?? Buffer.allocUnsafeSlow(slabBytes);
  return {
    bytes: memory.subarray(0, length),
    release: () => {
      if (freeSlabs.length < maxFreeSlabs) freeSlabs.push(memory);
    },
  };
}

/** Memory for one write only. */
export function ownSlab(length: number): Slab {
  return { bytes: Buffer.allocUnsafeSlow(length), release: nothing };
}

function nothing(): void {
  return undefined;
}

const freeSlabs: Buffer[] = [];
/** Room for four full records with any overhead. */
const slabBytes = 4 * (16_384 + 29);
/** Below this Node cuts from a pool of its own, which is cheaper than holding a whole slab. */
const smallBytes = 2048;
/** Two megabytes at most stay allocated, whatever the number of connections. */
const maxFreeSlabs = 32;
