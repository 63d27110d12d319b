import type { RunningSidecar } from '../interop/sides/sidekey.ts';
import { readMetrics, residentBytes } from './metrics.ts';

/**
 * Watches a sidecar's memory over a long run. One reading says little, since a collector frees
 * when it likes; so readings are put into windows, and medians and floors of windows compared.
 */
export class MemoryWatch {
  readonly #sidecar: RunningSidecar;
  readonly #resident: number[] = [];
  readonly #heap: number[] = [];

  constructor(sidecar: RunningSidecar) {
    this.#sidecar = sidecar;
  }

  async sample(): Promise<void> {
    const metrics = await readMetrics(this.#sidecar);
    this.#resident.push(await residentBytes(this.#sidecar.daemon.pid));
    this.#heap.push(metrics.get('sidekey_nodejs_heap_size_used_bytes') ?? NaN);
  }

  /** Median resident memory in each of `count` windows of equal length, in MiB. */
  residentMedians(count: number): readonly number[] {
    return windows(this.#resident, count).map((window) => mebibytes(median(window)));
  }

  /** Least heap in use in each window, in MiB: what is left after a collection. */
  heapFloors(count: number): readonly number[] {
    return windows(this.#heap, count).map((window) => mebibytes(Math.min(...window)));
  }
}

/** How much the last value is above the first. */
export function growth(values: readonly number[]): number {
  return (values.at(-1) ?? NaN) - (values[0] ?? NaN);
}

function windows(values: readonly number[], count: number): readonly (readonly number[])[] {
  const length = Math.floor(values.length / count);
  return Array.from({ length: count }, (_, index) =>
    values.slice(index * length, (index + 1) * length),
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function mebibytes(bytes: number): number {
  return Math.round((bytes / 1024 / 1024) * 10) / 10;
}
