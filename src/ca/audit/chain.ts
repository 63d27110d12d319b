import { createHash } from 'node:crypto';
import { Writer } from '../../bytes/writer.ts';
import type { Row } from '../store/schema.ts';

/** What stands before the first entry. */
export const auditGenesis: Uint8Array = new Uint8Array(32);

/**
 * Hash of an audit row: SHA-256 over the hash of the row before it and every other column, each with
 * its length, so that no two rows have the same encoding.
 *
 *     "sidekey audit v1" || 0
 *     opaque previous_hash[32]; uint64 seq; uint64 at;
 *     opaque actor<0..2^32-1>, action, subject, outcome, request, details (UTF-8)
 */
export function auditHash(row: Omit<Row<'audit'>, 'hash'>): Uint8Array {
  const writer = new Writer()
    .bytes(domain)
    .bytes(row.previous_hash)
    .u64(BigInt(row.seq))
    .u64(BigInt(row.at));
  const { actor, action, subject, outcome, request, details } = row;
  for (const text of [actor, action, subject, outcome, request, details]) {
    const bytes = Buffer.from(text, 'utf8');
    writer.u32(bytes.length).bytes(bytes);
  }
  return new Uint8Array(createHash('sha256').update(writer.finish()).digest());
}

/**
 * Text as both stores keep it, byte for byte: PostgreSQL takes neither NUL nor half of a surrogate
 * pair.
 */
export function storableText(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8').replaceAll('\0', '\ufffd');
}

const domain = Buffer.from('sidekey audit v1\0', 'latin1');
