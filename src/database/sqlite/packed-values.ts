/** What a parameter of a statement can be on its way to the thread that runs it. */
export type PackedValue = null | number | string | Uint8Array;

/**
 * Packs values into one piece of memory, to be handed over. Cloning them takes several times as long,
 * as each byte array gets memory of its own. Throws `TypeError` for a value of another type.
 */
export function packValues(values: readonly unknown[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const value of values) length += packedLength(value);
  const packed = Buffer.from(new ArrayBuffer(length));
  let at = 0;
  for (const value of values) at = pack(packed, at, value);
  return packed;
}

/** Byte arrays among the values are views of `packed`. */
export function unpackValues(packed: Uint8Array): PackedValue[] {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const values: PackedValue[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at];
    at += 1;
    if (tag === Tag.null) {
      values.push(null);
    } else if (tag === Tag.number) {
      values.push(bytes.readDoubleLE(at));
      at += 8;
    } else {
      const start = at + 4;
      at = start + bytes.readUInt32LE(at);
      values.push(tag === Tag.text ? bytes.toString('utf8', start, at) : bytes.subarray(start, at));
    }
  }
  return values;
}

function packedLength(value: unknown): number {
  if (value === null || value === undefined) return 1;
  switch (typeof value) {
    case 'number':
    case 'boolean':
      return 9;
    case 'string':
      return 5 + Buffer.byteLength(value);
    default:
      if (value instanceof Uint8Array) return 5 + value.length;
      throw new TypeError(`a statement cannot have a parameter of type ${typeof value}`);
  }
}

function pack(packed: Buffer, at: number, value: unknown): number {
  if (value === null || value === undefined) return packed.writeUInt8(Tag.null, at);
  if (typeof value === 'number' || typeof value === 'boolean') {
    return packed.writeDoubleLE(Number(value), packed.writeUInt8(Tag.number, at));
  }
  const start = at + 5;
  if (typeof value === 'string') {
    packed.writeUInt8(Tag.text, at);
    const length = packed.write(value, start);
    packed.writeUInt32LE(length, at + 1);
    return start + length;
  }
  if (!(value instanceof Uint8Array)) throw new TypeError('measured as something else');
  packed.writeUInt8(Tag.bytes, at);
  packed.writeUInt32LE(value.length, at + 1);
  packed.set(value, start);
  return start + value.length;
}

const Tag = { null: 0, number: 1, text: 2, bytes: 3 } as const;
