import { gunzip, gzip, type InputType, type ZlibOptions } from 'node:zlib';
import { maxInflationRatio } from '../agent-api/limits.ts';
import { BodyError } from './body-error.ts';

/**
 * Inflates one gzip body of known size, off the main thread. Rejects with {@link BodyError} for what becomes
 * longer than `maxBytes`, or than its size allows, for what is no gzip, and for anything behind it.
 */
export function gunzipBounded(wire: Uint8Array, maxBytes: number): Promise<Buffer> {
  const ratioBytes = Math.max(freeBytes, wire.length * maxInflationRatio);
  const maxOutputLength = Math.min(maxBytes, ratioBytes);
  return new Promise((resolve, reject) => {
    gunzipWithInfo(wire, { maxOutputLength, info: true }, (error, result) => {
      if (error !== null) {
        reject(problemOf(error, maxOutputLength));
        return;
      }
      if (result.engine.bytesWritten === wire.length) resolve(result.buffer);
      else reject(new BodyError('malformed_request', 'body has bytes behind its gzip end'));
    });
  });
}

/** Off the main thread. */
export function gzipBytes(bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(bytes, (error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
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

/** Node's types do not know the option `info`. */
const gunzipWithInfo = gunzip as unknown as (
  wire: InputType,
  options: ZlibOptions & { readonly info: true },
  callback: (
    error: NodeJS.ErrnoException | null,
    result: { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } },
  ) => void,
) => void;

/** Below this, nothing is a bomb. */
const freeBytes = 64 * 1024;
