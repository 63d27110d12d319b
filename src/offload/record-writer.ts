import { encodeAlert, type AlertLevel, type AlertName } from '../tls/alert.ts';
import { maxPlaintextBytes } from '../tls/record/framing.ts';
import type { RecordSealer } from '../tls/record/protection.ts';
import { ContentType } from '../tls/registries.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';

/** Memory for ciphertext on its way to the peer. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Gives the memory back; not before the bytes have been written. */
  release(): void;
}

/** Where {@link RecordWriter} takes memory from. */
export type SlabSource = (length: number) => Slab;

export interface RecordWriterOptions {
  readonly sealer: RecordSealer;
  readonly slabs: SlabSource;
  /** Records that may still be written with this key. */
  readonly maxRecords: number;
}

/**
 * The sending half of an established TLS 1.2 connection. Turns what is waiting into records as full
 * as can be, several of them into one piece of memory, so that one write carries them.
 */
export class RecordWriter {
  readonly #sealer: RecordSealer;
  readonly #slabs: SlabSource;
  /** Bytes in front of a record's ciphertext, where plaintext may be gathered to be sealed in place. */
  readonly #prefix: number;
  #recordsLeft: number;
  #queue: Uint8Array[] = [];
  #queued = 0;

  constructor(options: RecordWriterOptions) {
    this.#sealer = options.sealer;
    this.#slabs = options.slabs;
    this.#prefix = options.sealer.overhead - tagBytes;
    this.#recordsLeft = options.maxRecords;
  }

  /** Bytes of application data not yet sealed. */
  get queuedBytes(): number {
    return this.#queued;
  }

  /** Adds application data, which must not change until it is sealed. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
  }

  /** Up to {@link recordsPerSlab} records of what is waiting; `undefined` if nothing is. */
  next(): Slab | undefined {
    if (this.#queued === 0) return undefined;
    const records = Math.min(recordsPerSlab, Math.ceil(this.#queued / maxPlaintextBytes));
    const plaintextBytes = Math.min(this.#queued, records * maxPlaintextBytes);
    this.#count(records);
    const slab = this.#slabs(plaintextBytes + records * this.#sealer.overhead);
    let offset = 0;
    for (let left = plaintextBytes; left > 0; left -= maxPlaintextBytes) {
      const length = Math.min(left, maxPlaintextBytes);
      const plaintext = this.#gather(length, slab.bytes, offset + this.#prefix);
      offset += this.#sealer.seal(ContentType.application_data, plaintext, slab.bytes, offset);
    }
    return slab;
  }

  /** One alert in a record of its own. */
  alert(level: keyof typeof AlertLevel, name: AlertName): Uint8Array {
    const plaintext = encodeAlert(level, name);
    const record = Buffer.allocUnsafeSlow(plaintext.length + this.#sealer.overhead);
    this.#sealer.seal(ContentType.alert, plaintext, record, 0);
    return record;
  }

  /** Drops what is waiting. */
  clear(): void {
    this.#queue = [];
    this.#queued = 0;
  }

  /**
   * AES-GCM keys wear out (RFC 9325 §4.4), and TLS 1.2 has no way to change them on a connection
   * that is never renegotiated: the connection has to be replaced.
   */
  #count(records: number): void {
    if (records > this.#recordsLeft) {
      throw new OffloadError(
        OffloadErrorCode.keyExhausted,
        'too many records were written with one key; open a new connection',
        { phase: 'data' },
      );
    }
    this.#recordsLeft -= records;
  }

  /** The next `length` bytes in one piece: a view where they lie in one, else put into `target`. */
  #gather(length: number, target: Uint8Array, offset: number): Uint8Array {
    this.#queued -= length;
    const [first] = this.#queue;
    if (first !== undefined && first.length >= length) {
      if (first.length === length) this.#queue.shift();
      else this.#queue[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    let filled = 0;
    let used = 0;
    for (const piece of this.#queue) {
      const wanted = Math.min(piece.length, length - filled);
      target.set(wanted === piece.length ? piece : piece.subarray(0, wanted), offset + filled);
      filled += wanted;
      if (wanted < piece.length) {
        this.#queue[used] = piece.subarray(wanted);
        break;
      }
      used += 1;
      if (filled === length) break;
    }
    this.#queue.splice(0, used);
    return target.subarray(offset, offset + length);
  }
}

/** Four full records, some 64 KiB, cost one call of the socket. */
export const recordsPerSlab = 4;
/** All our suites have tags of 16 bytes; the rest of the overhead lies in front. */
const tagBytes = 16;
