import { promisify } from 'node:util';
import { gunzip, gunzipSync, gzip, gzipSync, type InputType, type ZlibOptions } from 'node:zlib';
import { freeInflationBytes, maxInflationRatio } from '../agent-api/limits.ts';
import { BodyError } from './body-error.ts';

/**
 * Inflates one gzip body of known size; what is not small, off the main thread. Rejects with {@link BodyError} for what
 * becomes longer than `maxBytes`, or than its size allows, for what is no gzip, and for anything behind it.
 */
export async function gunzipBounded(wire: Uint8Array, maxBytes: number): Promise<Buffer> {
  const ratioBytes = Math.max(freeInflationBytes, wire.length * maxInflationRatio);
  const maxOutputLength = Math.min(maxBytes, ratioBytes);
  const options = { maxOutputLength, info: true } as const;
  let inflated;
  try {
    inflated =
      wire.length <= smallBytes ? gunzipHere(wire, options) : await gunzipAway(wire, options);
  } catch (error) {
    throw problemOf(error as NodeJS.ErrnoException, maxOutputLength);
  }
  if (inflated.engine.bytesWritten === wire.length) return inflated.buffer;
  throw new BodyError('malformed_request', 'body has bytes behind its gzip end');
}

/** What is not small, off the main thread. */
export async function gzipBytes(bytes: Uint8Array): Promise<Buffer> {
  return bytes.length <= smallBytes ? gzipSync(bytes) : await gzipAway(bytes);
}

function problemOf(error: NodeJS.ErrnoException, maxBytes: number): Error {
  if (error.code === 'ERR_BUFFER_TOO_LARGE') {
    return new BodyError(
      'body_too_large',
      `body inflates to more than ${String(maxBytes)} bytes`,
      error,
    );
  }
  return new BodyError('malformed_request', 'body is not valid gzip', error);
}

/** Node's types do not know the option `info`, with which the answer says how much of the input was read. */
type Options = ZlibOptions & { readonly info: true };
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}
const gunzipHere = gunzipSync as unknown as (wire: InputType, options: Options) => Inflated;
const gunzipAway = promisify(gunzip) as unknown as (
  wire: InputType,
  options: Options,
) => Promise<Inflated>;
const gzipAway = promisify<InputType, Buffer>(gzip);

/** The way to another thread and back costs more than this does, ten times for a heartbeat. */
const smallBytes = 4096;
