/**
 * Objects such as an application holds that does more than open connections. V8 has rules of its own
 * for heaps of a few megabytes: near them, whether bulk data set off a full collection every 60 MB
 * was decided by a megabyte more or less, for either stack, and twice the CPU with it.
 */
export function applicationHeap(): readonly object[] {
  return Array.from({ length: objects }, (_, index) => ({
    id: index,
    range: [index, index + 1],
    name: `object ${String(index)}`,
  }));
}

/** Some 75 MB. */
const objects = 500_000;
