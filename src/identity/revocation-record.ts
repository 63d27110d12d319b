import { copyOf } from '../bytes/bytes.ts';
import { Reader, ReadError } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { hash } from '../crypto/hash.ts';
import type { RevokedCertificate } from './revocation-list.ts';

/** Where a host is in the feed of its authority, and when it heard of it. */
export interface FeedPosition {
  /** Of the feed the number belongs to; empty: of none. */
  readonly epoch: string;
  readonly sequence: number;
  /** By our clock. */
  readonly heardAt: Date | undefined;
}

/** One step of the feed. */
export interface RevocationRecord {
  readonly position: FeedPosition;
  readonly added: readonly RevokedCertificate[];
}

/*
 * struct {
 *   uint8 kind;  -- 1: serial number, 2: SPIFFE ID
 *   opaque value<0..2^16-1>;  opaque reason<0..2^8-1>;
 *   uint64 not_after_ms;      -- 0: unknown
 * } Entry;
 * struct {
 *   uint32 length;            -- of the body
 *   struct {
 *     opaque epoch<0..2^8-1>;  uint64 sequence;  uint64 heard_at_ms;  -- 0: never
 *     Entry added<..>;         -- to the end
 *   } body;
 *   opaque checksum[8];       -- of SHA-256 over length and body
 * } Record;
 */

export function encodeRecord({ position, added }: RevocationRecord): Uint8Array {
  const body = new Writer()
    .vec8(Buffer.from(position.epoch, 'utf8'))
    .u64(BigInt(position.sequence))
    .u64(BigInt(position.heardAt?.getTime() ?? 0));
  for (const revoked of added) {
    if ('serial' in revoked) body.u8(serialKind).vec16(revoked.serial);
    else body.u8(spiffeIdKind).vec16(Buffer.from(revoked.spiffeId, 'utf8'));
    body.vec8(Buffer.from(revoked.reason, 'utf8')).u64(BigInt(revoked.notAfter?.getTime() ?? 0));
  }
  const content = body.finish();
  const framed = new Writer().u32(content.length).bytes(content).finish();
  return new Writer().bytes(framed).bytes(checksum(framed)).finish();
}

/**
 * Reads records up to the end, or up to the first that is not whole: what was being written when the
 * power went. `length` is how much of `bytes` is whole records.
 */
export function readRecords(bytes: Uint8Array): {
  readonly records: readonly RevocationRecord[];
  readonly length: number;
} {
  const records: RevocationRecord[] = [];
  const reader = new Reader(bytes);
  let length = 0;
  try {
    while (reader.remaining > 0) {
      const start = bytes.length - reader.remaining;
      const content = reader.take(reader.u32());
      const framed = bytes.subarray(start, start + 4 + content.length);
      if (Buffer.compare(reader.take(checksumBytes), checksum(framed)) !== 0) break;
      records.push(readRecord(new Reader(content)));
      length = bytes.length - reader.remaining;
    }
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
  }
  return { records, length };
}

function readRecord(reader: Reader): RevocationRecord {
  const epoch = text(reader.vec8());
  const sequence = Number(reader.u64());
  const heardAt = moment(reader.u64());
  const added: RevokedCertificate[] = [];
  while (reader.remaining > 0) added.push(readEntry(reader));
  return { position: { epoch, sequence, heardAt }, added };
}

function readEntry(reader: Reader): RevokedCertificate {
  const kind = reader.u8();
  const value = reader.vec16();
  const reason = text(reader.vec8());
  const notAfter = moment(reader.u64());
  if (kind === serialKind) return { serial: copyOf(value.rest()), reason, notAfter };
  if (kind === spiffeIdKind) return { spiffeId: text(value), reason, notAfter };
  throw new ReadError('unknown kind of entry');
}

function text(reader: Reader): string {
  return Buffer.from(reader.rest()).toString('utf8');
}

function moment(ms: bigint): Date | undefined {
  return ms === 0n ? undefined : new Date(Number(ms));
}

function checksum(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes).subarray(0, checksumBytes);
}

const serialKind = 1;
const spiffeIdKind = 2;
const checksumBytes = 8;
