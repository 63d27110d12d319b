import { concat, copyOf } from '../../bytes/bytes.ts';
import { TlsAlertError } from '../alert.ts';
import { ContentType, nameOf, ProtocolVersion } from '../registries.ts';

/**
 * Records on the wire,
 * {@link https://www.rfc-editor.org/rfc/rfc5246#section-6.2 | RFC 5246 §6.2}: cutting a stream of
 * bytes into records and fragmenting messages into them. Knows nothing of protection but its sizes.
 */

/** Bytes of type, version and length. */
export const recordHeaderBytes = 5;

/** Most plaintext a record may hold (RFC 5246 §6.2.1). */
export const maxPlaintextBytes = 2 ** 14;

/** Most a body may be longer than its plaintext: explicit nonce and tag of AES-GCM (RFC 5288 §3). */
export const maxExpansionBytes = 24;

/**
 * Which rules a record's header has to keep:
 * - `initial`: not protected; any minor version, as the peer does not know ours yet (RFC 5246
 *   appendix E.1);
 * - `plaintext`: not protected; exactly TLS 1.2;
 * - `protected`: protected; exactly TLS 1.2.
 */
export type FramingEpoch = 'initial' | 'plaintext' | 'protected';

/** A whole record. */
export interface TlsRecord {
  readonly type: ContentType;
  readonly version: number;
  /** Header and body. */
  readonly record: Uint8Array;
}

/** The body of a whole record, as a view. */
export function bodyOf(record: Uint8Array): Uint8Array {
  return record.subarray(recordHeaderBytes);
}

/**
 * Cuts the peer's bytes into records, in time linear in their number however they arrive. A header
 * is judged as soon as its five bytes are there, so no body is kept that would be refused later;
 * what is buffered is never more than one record plus what was pushed and not asked for yet.
 */
export class Deframer {
  /** Which rules hold for headers from now on; set it before asking for the next record. */
  epoch: FramingEpoch;
  readonly #chunks: Uint8Array[] = [];
  /** Index of the first chunk that is not used up, and how much of it is. */
  #head = 0;
  #offset = 0;
  #chunkBytes = 0;
  /** A header or a whole record that arrives in pieces: its memory and how much of it is there. */
  #partial: Uint8Array | undefined;
  #filled = 0;
  #first = true;

  constructor(epoch: FramingEpoch) {
    this.epoch = epoch;
  }

  /** Bytes pushed and not returned by {@link next}. */
  get bufferedBytes(): number {
    return this.#chunkBytes + this.#filled;
  }

  /** Adds bytes of the peer, which are copied. */
  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.lend(copyOf(bytes));
  }

  /**
   * Adds bytes without copying them: records that lie in them whole are returned as views of them.
   * The lender leaves them alone until {@link next} has returned `undefined`, and as long as it
   * uses such records.
   */
  lend(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#chunkBytes += bytes.length;
  }

  /**
   * The next whole record, or `undefined` until more bytes come. Throws `TlsAlertError` for a header
   * that breaks the rules of the current epoch, and again at every later call.
   */
  next(): TlsRecord | undefined {
    if (this.#partial === undefined) {
      const whole = this.#takeWhole();
      if (whole !== undefined) return whole;
      if (this.#chunkBytes === 0) return undefined;
      this.#partial = new Uint8Array(recordHeaderBytes);
    }
    if (this.#partial.length === recordHeaderBytes) {
      if (!this.#fill(this.#partial)) return undefined;
      const header = this.#partial;
      const { length } = judgeHeader(header, 0, this.epoch, this.#first);
      this.#partial = Buffer.allocUnsafeSlow(recordHeaderBytes + length);
      this.#partial.set(header);
    }
    if (!this.#fill(this.#partial)) return undefined;
    const record = this.#partial;
    // Judged once more: rules may have changed since the header came.
    const { type, version } = judgeHeader(record, 0, this.epoch, this.#first);
    this.#partial = undefined;
    this.#filled = 0;
    this.#first = false;
    return { type, version, record };
  }

  /** Hands out everything not returned as a record, as a copy; nothing stays buffered. */
  takeBuffered(): Uint8Array {
    const [first, ...others] = this.#chunks.slice(this.#head);
    const rest = first === undefined ? [] : [first.subarray(this.#offset), ...others];
    const taken = concat(this.#partial?.subarray(0, this.#filled) ?? noBytes, ...rest);
    this.#chunks.length = 0;
    this.#head = 0;
    this.#offset = 0;
    this.#chunkBytes = 0;
    this.#partial = undefined;
    this.#filled = 0;
    return taken;
  }

  /** The fast path: a record that lies whole in the first chunk. */
  #takeWhole(): TlsRecord | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined || chunk.length - this.#offset < recordHeaderBytes) return undefined;
    const { type, version, length } = judgeHeader(chunk, this.#offset, this.epoch, this.#first);
    const size = recordHeaderBytes + length;
    if (chunk.length - this.#offset < size) return undefined;
    const record = chunk.subarray(this.#offset, this.#offset + size);
    this.#advance(chunk, size);
    this.#first = false;
    return { type, version, record };
  }

  /** Moves bytes from the chunks behind what is filled; true when `target` is full. */
  #fill(target: Uint8Array): boolean {
    while (this.#filled < target.length) {
      const chunk = this.#chunks[this.#head];
      if (chunk === undefined) return false;
      const wanted = target.length - this.#filled;
      const taken = Math.min(wanted, chunk.length - this.#offset);
      target.set(chunk.subarray(this.#offset, this.#offset + taken), this.#filled);
      this.#filled += taken;
      this.#advance(chunk, taken);
    }
    return true;
  }

  #advance(chunk: Uint8Array, length: number): void {
    this.#offset += length;
    this.#chunkBytes -= length;
    if (this.#offset < chunk.length) return;
    this.#chunks[this.#head] = noBytes;
    this.#head += 1;
    this.#offset = 0;
    if (this.#head < this.#chunks.length) return;
    this.#chunks.length = 0;
    this.#head = 0;
  }
}

/** One record holding `fragment`, which must fit. */
export function encodeRecord(type: ContentType, version: number, fragment: Uint8Array): Uint8Array {
  if (fragment.length > maxPlaintextBytes) {
    throw new RangeError(`fragment of ${String(fragment.length)} bytes does not fit a record`);
  }
  const record = Buffer.allocUnsafeSlow(recordHeaderBytes + fragment.length);
  writeHeader(record, 0, type, version, fragment.length);
  record.set(fragment, recordHeaderBytes);
  return record;
}

/** Writes the header of a record whose body has `length` bytes. */
export function writeHeader(
  target: Uint8Array,
  offset: number,
  type: ContentType,
  version: number,
  length: number,
): void {
  target[offset] = type;
  target[offset + 1] = version >>> 8;
  target[offset + 2] = version & 0xff;
  target[offset + 3] = length >>> 8;
  target[offset + 4] = length & 0xff;
}

/**
 * Cuts the content of one type into pieces that fit a record, as views; no piece is empty, so
 * nothing yields no piece (RFC 5246 §6.2.1 allows empty records for application data only).
 */
export function fragments(bytes: Uint8Array): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.length; offset += maxPlaintextBytes) {
    pieces.push(bytes.subarray(offset, offset + maxPlaintextBytes));
  }
  return pieces;
}

/** Content of one type as TLS 1.2 records without protection, split where it must be. */
export function fragment(
  type: ContentType,
  bytes: Uint8Array,
  version: number = ProtocolVersion.tls12,
): Uint8Array {
  return concat(...fragments(bytes).map((piece) => encodeRecord(type, version, piece)));
}

interface RecordHeader {
  readonly type: ContentType;
  readonly version: number;
  /** Bytes of the body. */
  readonly length: number;
}

// struct {
//     ContentType type;
//     ProtocolVersion version;
//     uint16 length;
//     opaque fragment[length];
// } TLSPlaintext, TLSCiphertext;                                                 (RFC 5246 §6.2)
function judgeHeader(
  bytes: Uint8Array,
  offset: number,
  epoch: FramingEpoch,
  first: boolean,
): RecordHeader {
  const type = byteAt(bytes, offset);
  const version = byteAt(bytes, offset + 1) * 256 + byteAt(bytes, offset + 2);
  const length = byteAt(bytes, offset + 3) * 256 + byteAt(bytes, offset + 4);
  if (first) refuseOtherProtocols(bytes, offset);
  if (!isContentType(type)) {
    throw new TlsAlertError('unexpected_message', `record of unknown type ${String(type)}`);
  }
  if (epoch === 'initial' ? version >>> 8 !== 3 : version !== ProtocolVersion.tls12) {
    throw new TlsAlertError(
      'protocol_version',
      `record of version ${nameOf(ProtocolVersion, version)}, expected ${epoch === 'initial' ? '0x03XX' : 'TLS 1.2'}`,
    );
  }
  if (length > maxPlaintextBytes + (epoch === 'protected' ? maxExpansionBytes : 0)) {
    throw new TlsAlertError('record_overflow', `record body of ${String(length)} bytes`);
  }
  if (length === 0 && epoch !== 'protected' && type !== ContentType.application_data) {
    throw new TlsAlertError('unexpected_message', `empty ${nameOf(ContentType, type)} record`);
  }
  return { type, version, length };
}

/** Says plainly what a peer speaks that does not speak TLS at all. */
function refuseOtherProtocols(bytes: Uint8Array, offset: number): void {
  const type = byteAt(bytes, offset);
  if (type >= 0x80) {
    throw new TlsAlertError(
      'protocol_version',
      'peer sent an SSLv2 hello, or no TLS at all',
      'sslv2_hello',
    );
  }
  const start = String.fromCharCode(...bytes.subarray(offset, offset + recordHeaderBytes));
  if (httpStarts.some((word) => start.startsWith(word))) {
    throw new TlsAlertError(
      'unexpected_message',
      'peer speaks HTTP without TLS on this connection',
      'http_without_tls',
    );
  }
}

function isContentType(type: number): type is ContentType {
  return type >= ContentType.change_cipher_spec && type <= ContentType.application_data;
}

/** Callers have checked that the header is there. */
function byteAt(bytes: Uint8Array, offset: number): number {
  return bytes[offset] ?? 0;
}

const noBytes = new Uint8Array();

const httpStarts = [
  'GET ',
  'HEAD ',
  'POST ',
  'PUT ',
  'PRI ',
  'DELET',
  'OPTIO',
  'PATCH',
  'CONNE',
  'TRACE',
  'HTTP/',
];
