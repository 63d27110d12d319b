/**
 * Reads big-endian fields and length-prefixed vectors, the presentation language of
 * {@link https://www.rfc-editor.org/rfc/rfc5246#section-4 | RFC 5246 §4}.
 *
 * Every read is bounded; a read past the end throws {@link ReadError} and nothing else. Returned
 * bytes are views of the input: copy what must outlive it.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#unsigned(1);
  }

  u16(): number {
    return this.#unsigned(2);
  }

  u24(): number {
    return this.#unsigned(3);
  }

  u32(): number {
    return this.#unsigned(4);
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** The next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.#offset;
    this.#advance(length);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** A vector with a one-byte length, as a reader of its own. */
  vec8(): Reader {
    return new Reader(this.take(this.u8()));
  }

  /** A vector with a two-byte length. */
  vec16(): Reader {
    return new Reader(this.take(this.u16()));
  }

  /** A vector with a three-byte length. */
  vec24(): Reader {
    return new Reader(this.take(this.u24()));
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  /** Refuses leftovers. */
  end(): void {
    if (this.remaining !== 0) throw new ReadError(`${String(this.remaining)} trailing bytes`);
  }

  #unsigned(length: number): number {
    const start = this.#offset;
    this.#advance(length);
    let value = 0;
    // No view and no iterator: hellos are lists of hundreds of such numbers.
    for (let index = start; index < this.#offset; index++) {
      value = value * 256 + (this.#bytes[index] ?? 0);
    }
    return value;
  }

  #advance(length: number): void {
    const end = this.#offset + length;
    if (end > this.#bytes.length) {
      throw new ReadError(`need ${String(length)} bytes, have ${String(this.remaining)}`);
    }
    this.#offset = end;
  }
}

/** The bytes end too early or too late. Parsers turn it into the error of their own room. */
export class ReadError extends Error {
  override readonly name = 'ReadError';
}
