import { gunzip } from 'node:zlib';
import { wipe } from '../../../bytes/bytes.ts';
import { freeInflationBytes, maxInflationRatio } from '../agent-api/limits.ts';

/** The largest content that so many compressed bytes may stand for. */
export function inflationLimit(compressedBytes: number, maxInflatedBytes: number): number {
  return Math.min(
    maxInflatedBytes,
    Math.max(freeInflationBytes, compressedBytes * maxInflationRatio),
  );
}

/**
 * Decompresses one gzip member that is all there is; `undefined` for anything else, and as soon as more
 * comes out than {@link inflationLimit}.
 */
export async function inflate(
  compressed: Uint8Array,
  maxInflatedBytes: number,
): Promise<Uint8Array | undefined> {
  const maxOutputLength = inflationLimit(compressed.length, maxInflatedBytes);
  return await new Promise((resolve) => {
    const options = { maxOutputLength, info: true };
    gunzip(compressed, options, (error, result: unknown) => {
      // Malformed, cut short or too much: to the caller all of them are one.
      if (error !== null || !isInflated(result)) resolve(undefined);
      else if (result.engine.bytesWritten !== compressed.length) {
        wipe(result.buffer);
        resolve(undefined);
      } else resolve(result.buffer);
    });
  });
}

/** What zlib answers with `info`, which its types do not tell. */
interface Inflated {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

function isInflated(result: unknown): result is Inflated {
  return typeof result === 'object' && result !== null && 'buffer' in result && 'engine' in result;
}
