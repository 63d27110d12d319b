/**
 * The additional data of a record's AEAD, and in it the number of the record:
 *
 *     additional_data = seq_num + TLSCompressed.type + TLSCompressed.version + TLSCompressed.length
 *
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-6.2.3.3 | RFC 5246 §6.2.3.3}). The number
 * is counted in place, byte by byte, since a bigint per record would cost more than the rest.
 */
export class RecordSequence {
  /** seq_num(8) ‖ type(1) ‖ version(2) ‖ length(2); changes with every record. */
  readonly additionalData: Uint8Array;
  /** The number alone, as a view of it. */
  readonly bytes: Uint8Array;
  #exhausted = false;

  constructor(first: bigint) {
    if (first < 0n || first >= 1n << 64n) throw new RangeError('sequence number out of range');
    const buffer = Buffer.allocUnsafeSlow(13);
    buffer.writeBigUInt64BE(first, 0);
    buffer.writeUInt16BE(0x0303, 9);
    this.additionalData = buffer;
    this.bytes = buffer.subarray(0, 8);
  }

  /** Of the next record; 2^64 when there can be none. */
  get value(): bigint {
    if (this.#exhausted) return 1n << 64n;
    let value = 0n;
    for (const byte of this.bytes) value = (value << 8n) | BigInt(byte);
    return value;
  }

  /**
   * Prepares the additional data of the next record. Throws when its number would wrap, which
   * RFC 5246 §6.1 forbids: a nonce would be used again.
   */
  describe(type: number, length: number): void {
    if (this.#exhausted) throw new Error('sequence numbers are used up');
    const data = this.additionalData;
    data[8] = type;
    data[11] = length >>> 8;
    data[12] = length & 0xff;
  }

  /** Counts a record. */
  advance(): void {
    for (let index = 7; index >= 0; index -= 1) {
      const next = ((this.bytes[index] ?? 0) + 1) & 0xff;
      this.bytes[index] = next;
      if (next !== 0) return;
    }
    this.#exhausted = true;
  }
}
