import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { BodyError } from './body-error.ts';
import { gunzipBounded } from './gzip.ts';

/** Sizes in bytes. */
export interface BodyLimits {
  readonly maxWireBytes: number;
  /** After gzip. */
  readonly maxInflatedBytes: number;
}

export interface ReadBodyOptions {
  /** Gives up; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Overwrites what was received on the way; the result is the caller's to wipe. */
  readonly secret?: boolean;
}

/**
 * The body of a request or response of HTTP/1.1 or HTTP/2, inflated if it is gzipped. Reads no more than it may:
 * what is left of the stream is for the caller to end, who may want to answer first. Rejects with
 * {@link BodyError} for a body that is too large or in another encoding, and one that ends early.
 *
 * @returns memory of the caller's own
 */
export async function readBody(
  stream: Readable,
  headers: IncomingHttpHeaders,
  limits: BodyLimits,
  options: ReadBodyOptions = {},
): Promise<Buffer> {
  const encoding = contentEncoding(headers);
  const announced = Number(headers['content-length'] ?? 0);
  if (announced > limits.maxWireBytes) throw tooLong(limits.maxWireBytes);
  const wire = await collect(stream, limits.maxWireBytes, options);
  if (encoding === 'identity') {
    if (wire.length <= limits.maxInflatedBytes) return wire;
    throw tooLong(limits.maxInflatedBytes);
  }
  try {
    return await gunzipBounded(wire, limits.maxInflatedBytes);
  } finally {
    if (options.secret === true) wire.fill(0);
  }
}

function contentEncoding(headers: IncomingHttpHeaders): 'gzip' | 'identity' {
  const encoding = (headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding === 'gzip' || encoding === 'identity') return encoding;
  throw new BodyError('unsupported_content', 'content-encoding is neither gzip nor identity');
}

/** All bytes up to the end, in one piece. */
function collect(
  stream: Readable,
  maxBytes: number,
  { signal, secret = false }: ReadBodyOptions,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const finish = (settle: () => void): void => {
      stream.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      settle();
      if (secret) for (const chunk of chunks) chunk.fill(0);
    };
    const fail = (error: unknown): void => {
      stream.pause();
      finish(() => {
        // The reason of a signal is whatever its owner made it.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(error);
      });
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) fail(tooLong(maxBytes));
    };
    const onEnd = (): void => {
      finish(() => {
        resolve(Buffer.concat(chunks, length));
      });
    };
    const onError = (cause: Error): void => {
      fail(new BodyError('malformed_request', 'body ended early', cause));
    };
    const onClose = (): void => {
      fail(new BodyError('malformed_request', 'body ended early'));
    };
    const onAbort = (): void => {
      fail(signal?.reason);
    };
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    if (stream.readableEnded) {
      resolve(Buffer.alloc(0));
      return;
    }
    if (stream.destroyed) {
      onClose();
      return;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    stream.on('data', onData).once('end', onEnd).once('error', onError).once('close', onClose);
  });
}

function tooLong(maxBytes: number): BodyError {
  return new BodyError('body_too_large', `body is longer than ${String(maxBytes)} bytes`);
}
