import type { z } from 'zod';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { contentTypes } from '../agent-api/verbs.ts';
import { BodyError } from './body-error.ts';
import { gzipBytes } from './gzip.ts';

/** A body ready to be sent, and what its header says of it. */
export interface EncodedBody {
  readonly bytes: Uint8Array;
  readonly headers: OutgoingHttpHeaders;
}

/** A value as gzipped JSON. */
export function encodeJson(value: unknown): Promise<EncodedBody> {
  return encodeBody(Buffer.from(JSON.stringify(value)), contentTypes.json);
}

/** Bytes of any content type, gzipped. */
export async function encodeBody(bytes: Uint8Array, contentType: string): Promise<EncodedBody> {
  const compressed = await gzipBytes(bytes);
  return {
    bytes: compressed,
    headers: {
      'content-type': contentType,
      'content-encoding': 'gzip',
      'content-length': compressed.length,
    },
  };
}

/**
 * Reads JSON that fits a schema; nothing at all reads as `{}`. Throws {@link BodyError} that says which fields are wrong,
 * not what was in them.
 */
export function decodeJson<Schema extends z.ZodType>(
  bytes: Uint8Array,
  schema: Schema,
): z.output<Schema> {
  let value: unknown = {};
  if (bytes.length > 0) {
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      // The parser's message would quote the body.
      throw new BodyError('malformed_request', 'body is not JSON in UTF-8');
    }
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BodyError('malformed_request', describeIssues(parsed.error.issues));
}

/** Throws {@link BodyError} unless the body is said to be of this type; a request without a body need not say. */
export function requireContentType(headers: IncomingHttpHeaders, expected: string): void {
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type === expected) return;
  if (type === undefined && headers['content-length'] === '0') return;
  if (type === undefined && expected === contentTypes.json) return;
  throw new BodyError('unsupported_content', `content-type is not ${expected}`);
}

/** What a schema found, of the first few fields, without their content. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  return issues
    .slice(0, maxIssues)
    .map(({ path, message }) => `${path.map(String).join('.').slice(0, 100) || 'body'}: ${message}`)
    .join('; ')
    .slice(0, maxDescription);
}

const maxIssues = 5;
const maxDescription = 800;
