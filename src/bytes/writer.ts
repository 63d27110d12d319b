/**
 * Builds big-endian fields and length-prefixed vectors. Lengths are filled in after their content
 * is written; a content that does not fit its length throws `RangeError` instead of wrapping.
 */
export class Writer {
  #buffer = Buffer.allocUnsafeSlow(256);
  #length = 0;

  u8(value: number): this {
    return this.#unsigned(value, 1);
  }

  u16(value: number): this {
    return this.#unsigned(value, 2);
  }

  u24(value: number): this {
    return this.#unsigned(value, 3);
  }

  u32(value: number): this {
    return this.#unsigned(value, 4);
  }

  u64(value: bigint): this {
    this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, this.#length);
    this.#length += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** A vector with a one-byte length; `content` writes its body, or is its body. */
  vec8(content: Uint8Array | (() => void)): this {
    return this.#vector(1, content);
  }

  /** A vector with a two-byte length. */
  vec16(content: Uint8Array | (() => void)): this {
    return this.#vector(2, content);
  }

  /** A vector with a three-byte length. */
  vec24(content: Uint8Array | (() => void)): this {
    return this.#vector(3, content);
  }

  /** A copy of what was written, in memory of its own (never Node's shared pool). */
  finish(): Uint8Array {
    const out = Buffer.allocUnsafeSlow(this.#length);
    this.#buffer.copy(out, 0, 0, this.#length);
    return out;
  }

  /** Like {@link finish}, and overwrites the working buffer: for secrets. */
  finishAndWipe(): Uint8Array {
    const out = this.finish();
    this.#buffer.fill(0);
    return out;
  }

  #unsigned(value: number, width: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 256 ** width) {
      throw new RangeError(`${String(value)} does not fit ${String(width)} bytes`);
    }
    this.#reserve(width);
    this.#buffer.writeUIntBE(value, this.#length, width);
    this.#length += width;
    return this;
  }

  #vector(width: 1 | 2 | 3, content: Uint8Array | (() => void)): this {
    const start = this.#length;
    this.#unsigned(0, width);
    if (typeof content === 'function') content();
    else this.bytes(content);
    const length = this.#length - start - width;
    if (length >= 256 ** width) {
      throw new RangeError(`vector of ${String(length)} bytes does not fit its length field`);
    }
    this.#buffer.writeUIntBE(length, start, width);
    return this;
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer.fill(0);
    this.#buffer = larger;
  }
}
