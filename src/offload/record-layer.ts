import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createRecordOpener, createRecordSealer } from '../tls/record/protection.ts';
import { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import type { Session } from './session.ts';
import { ownSlab, pooledSlab } from './slab-pool.ts';

/** Both halves of an established connection, with the keys in them. */
export interface RecordLayer {
  readonly reader: RecordReader;
  readonly writer: RecordWriter;
  /** Forgets the keys; nothing works afterwards. */
  free(): void;
}

/** Takes copies of the session's keys, which the caller wipes. */
export function createRecordLayer(
  session: Session,
  role: 'client' | 'server',
  provider: 'native' | 'node' | undefined,
  raw: Duplex,
): RecordLayer {
  const { cipherSuite, read, write } = session;
  const common = { cipherSuite, ...(provider === undefined ? {} : { provider }) };
  const opener = createRecordOpener({ ...common, ...read });
  const sealer = createRecordSealer({ ...common, ...write });
  const worn = cipherSuite.aead === 'chacha20-poly1305' ? Number.MAX_SAFE_INTEGER : maxGcmRecords;
  const writer = new RecordWriter({
    sealer,
    // A socket of the system copies what it writes; other streams may pass it on.
    slabs: raw.constructor === Socket ? pooledSlab : ownSlab,
    maxRecords: worn - Number(write.sequenceNumber),
  });
  const reader = new RecordReader({
    opener,
    role,
    renegotiationIsFatal: session.applicationProtocol === 'h2',
    maxRecords: worn - Number(read.sequenceNumber),
  });
  return {
    reader,
    writer,
    free: () => {
      opener.free();
      sealer.free();
    },
  };
}

/**
 * What is to be handed out, none of it in memory that is only lent. A record that began in an earlier
 * read comes first and has memory of its own; all others are joined.
 */
export function ownMemory(
  plaintexts: readonly Uint8Array[],
  lent: ArrayBufferLike | undefined,
): readonly Uint8Array[] {
  if (lent === undefined) return plaintexts;
  const kept: Uint8Array[] = [];
  const borrowed: Uint8Array[] = [];
  for (const plaintext of plaintexts) {
    (plaintext.buffer === lent ? borrowed : kept).push(plaintext);
  }
  return borrowed.length === 0 ? kept : [...kept, Buffer.concat(borrowed)];
}

/** RFC 9325 §4.4; the number is the one rustls takes. */
const maxGcmRecords = 2 ** 24;
