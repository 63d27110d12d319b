import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { responseLimits } from '../../fleet/agent-api/limits.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { readBody } from '../../fleet/http/read-body.ts';
import { ProtocolViolation } from './failure.ts';

/** One request, whatever HTTP it goes by. */
export interface Exchange {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Uint8Array | undefined;
  readonly timeoutMs: number;
  readonly maxInflatedBytes: number;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/**
 * Reads an answer of an agent, which is taken for hostile: a redirect, a cookie, another encoding or
 * anything too large is a {@link ProtocolViolation}. Trailers are not looked at.
 */
export async function readAnswer(
  status: number,
  headers: IncomingHttpHeaders,
  stream: Readable,
  { maxInflatedBytes }: Pick<Exchange, 'maxInflatedBytes'>,
  signal: AbortSignal,
): Promise<Answer> {
  if (!(status >= 200 && status < 300) && !(status >= 400 && status < 600)) {
    throw new ProtocolViolation(`answered with status ${String(status)}`);
  }
  if (headers['set-cookie'] !== undefined) throw new ProtocolViolation('answered with a cookie');
  const length = headers['content-length'];
  if (length !== undefined && !/^\d{1,15}$/u.test(length)) {
    throw new ProtocolViolation('answered with a content-length that is no number');
  }
  try {
    const limits = { maxWireBytes: responseLimits.maxWireBytes, maxInflatedBytes };
    const body = await readBody(stream, headers, limits, { signal });
    const contentType = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
    return { status, contentType, body };
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    throw new ProtocolViolation(`answered with what is not taken: ${error.message}`, {
      cause: error,
    });
  }
}

/** How many informational responses (1xx) may come before the answer. */
export const maxInformational = 4;
