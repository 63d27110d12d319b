/** Identifier octets of the universal types we meet (X.690 §8.1.2), and how to make context tags. */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
  context: (number: number): number => 0x80 | number,
  contextConstructed: (number: number): number => 0xa0 | number,
} as const;

/** The bytes are not the DER they should be. Parsers turn it into a `CertificateError`. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/**
 * Reads the elements of one DER value in order. Strict: definite, minimal lengths that end inside
 * their parent, low tag numbers only, canonical BOOLEAN, INTEGER, BIT STRING and times. It never
 * recurses by itself, so hostile nesting costs nothing. Returned bytes are views of the input.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #offset: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#offset = start;
    this.#end = end;
  }

  /** Whether all elements are read. */
  get done(): boolean {
    return this.#offset === this.#end;
  }

  /** Whether an element with this tag comes next. */
  next(tag: number): boolean {
    return this.#offset < this.#end && this.#bytes[this.#offset] === tag;
  }

  /** The elements inside the next one, which must have this tag. */
  enter(tag: number): DerReader {
    const start = this.#contentStart(tag);
    return new DerReader(this.#bytes, start, this.#offset);
  }

  /** The elements inside the next one, which stays the next one. */
  fork(tag: number): DerReader {
    const before = this.#offset;
    const inside = this.enter(tag);
    this.#offset = before;
    return inside;
  }

  /** {@link enter}, if the next element has this tag. */
  enterOptional(tag: number): DerReader | undefined {
    return this.next(tag) ? this.enter(tag) : undefined;
  }

  /** The content octets of the next element. */
  content(tag: number): Uint8Array {
    const start = this.#contentStart(tag);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** The next element as a whole, tag and length included. */
  element(tag: number): Uint8Array {
    const start = this.#offset;
    this.#contentStart(tag);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Passes over the next element, whatever its tag. */
  skip(): void {
    const tag = this.#bytes[this.#offset];
    if (tag === undefined || this.done) throw new DerError('ends too early');
    this.#contentStart(tag);
  }

  /** The next element, whatever its tag. */
  any(): { readonly tag: number; readonly content: Uint8Array; readonly element: Uint8Array } {
    const start = this.#offset;
    const tag = this.#bytes[start];
    if (tag === undefined || start >= this.#end) throw new DerError('ends too early');
    const contentStart = this.#contentStart(tag);
    return {
      tag,
      content: this.#bytes.subarray(contentStart, this.#offset),
      element: this.#bytes.subarray(start, this.#offset),
    };
  }

  /** BOOLEAN: FF or 00, nothing else (X.690 §11.1). */
  boolean(): boolean {
    const content = this.content(Tag.boolean);
    const value = content[0];
    if (content.length !== 1 || (value !== 0x00 && value !== 0xff)) {
      throw new DerError('BOOLEAN is not 00 or FF');
    }
    return value === 0xff;
  }

  /** Content octets of an INTEGER in its shortest form (X.690 §8.3.2), sign included. */
  integer(): Uint8Array {
    return shortestInteger(this.content(Tag.integer));
  }

  /** A non-negative INTEGER below 2^31. */
  smallInteger(): number {
    return smallInteger(this.integer());
  }

  /** A BIT STRING of whole bytes. */
  wholeBytes(): Uint8Array {
    const content = this.content(Tag.bitString);
    if (content[0] !== 0) throw new DerError('BIT STRING has unused bits');
    return content.subarray(1);
  }

  /** A named bit list as a bit mask: bit n of the list is 2^n. */
  namedBits(): number {
    return namedBits(this.content(Tag.bitString));
  }

  /** An OBJECT IDENTIFIER's content, as a string of its bytes: a key for tables, see `oids.ts`. */
  objectIdentifier(): string {
    return objectIdentifierKey(this.content(Tag.objectIdentifier));
  }

  /** UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5 allows. */
  time(): Date {
    return this.next(Tag.utcTime)
      ? utcTime(this.content(Tag.utcTime))
      : generalizedTime(this.content(Tag.generalizedTime));
  }

  /** GeneralizedTime where it is the only choice, in the same form. */
  generalizedTime(): Date {
    return generalizedTime(this.content(Tag.generalizedTime));
  }

  /** Refuses leftovers. */
  end(): void {
    if (!this.done) throw new DerError(`${String(this.#end - this.#offset)} trailing bytes`);
  }

  /** Reads tag and length, moves behind the element, answers where its content starts. */
  #contentStart(tag: number): number {
    const bytes = this.#bytes;
    let offset = this.#offset;
    if (offset + 2 > this.#end) throw new DerError(`ends where ${tagName(tag)} should be`);
    const found = bytes[offset] ?? 0;
    if (found !== tag) throw new DerError(`has ${tagName(found)} where ${tagName(tag)} should be`);
    if ((found & 0x1f) === 0x1f) throw new DerError('has a tag number above 30');
    let length = bytes[offset + 1] ?? 0;
    offset += 2;
    if (length >= 0x80) {
      const octets = length & 0x7f;
      if (octets === 0) throw new DerError('has an indefinite length');
      if (octets > 4 || offset + octets > this.#end) throw new DerError('has an oversize length');
      length = 0;
      for (let index = 0; index < octets; index += 1)
        length = length * 256 + (bytes[offset + index] ?? 0);
      if (length < 0x80 || length < 256 ** (octets - 1)) {
        throw new DerError('has a length that is not minimal');
      }
      offset += octets;
    }
    if (offset + length > this.#end) throw new DerError('has an element longer than its parent');
    this.#offset = offset + length;
    return offset;
  }
}

/** Reads a value that is one element and nothing else. */
export function readWhole<Value>(bytes: Uint8Array, read: (reader: DerReader) => Value): Value {
  const reader = new DerReader(bytes);
  const value = read(reader);
  reader.end();
  return value;
}

/** A key for tables from an OBJECT IDENTIFIER's content octets. */
export function objectIdentifierKey(content: Uint8Array): string {
  const last = content.at(-1);
  if (last === undefined || last >= 0x80 || content.length > MAX_OBJECT_IDENTIFIER_BYTES) {
    throw new DerError('has a malformed OBJECT IDENTIFIER');
  }
  let starts = true;
  let key = '';
  for (const byte of content) {
    // X.690 §8.19.2: no leading 0x80 in a subidentifier.
    if (starts && byte === 0x80) throw new DerError('has a padded OBJECT IDENTIFIER');
    starts = byte < 0x80;
    key += String.fromCharCode(byte);
  }
  return key;
}

/** Checks an INTEGER's content octets for the shortest form and returns them. */
export function shortestInteger(content: Uint8Array): Uint8Array {
  const first = content[0];
  if (first === undefined) throw new DerError('has an empty INTEGER');
  const second = content[1];
  if (second !== undefined) {
    const padded = (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80);
    if (padded) throw new DerError('has an INTEGER that is not minimal');
  }
  return content;
}

/** A non-negative INTEGER below 2^31 from its content octets. */
export function smallInteger(content: Uint8Array): number {
  shortestInteger(content);
  if ((content[0] ?? 0) >= 0x80 || content.length > 4) {
    throw new DerError('has an INTEGER out of range');
  }
  let value = 0;
  for (const byte of content) value = value * 256 + byte;
  return value;
}

/** The mask of a named bit list from a BIT STRING's content octets, up to 24 bits. */
export function namedBits(content: Uint8Array): number {
  const unused = content[0];
  const last = content.at(-1) ?? 0;
  if (unused === undefined || unused > 7 || content.length > 4) {
    throw new DerError('has a malformed BIT STRING');
  }
  if (content.length === 1) {
    if (unused !== 0) throw new DerError('has a malformed BIT STRING');
    return 0;
  }
  // §11.2.2 also wants the last bit encoded to be a one; some public roots do without, and no
  // meaning hangs on it.
  if ((last & ((1 << unused) - 1)) !== 0) throw new DerError('has unused bits that are not zero');
  let mask = 0;
  for (let index = 1; index < content.length; index += 1) {
    const byte = content[index] ?? 0;
    for (let bit = 0; bit < 8; bit += 1) {
      if ((byte & (0x80 >> bit)) !== 0) mask |= 1 << ((index - 1) * 8 + bit);
    }
  }
  return mask;
}

function utcTime(content: Uint8Array): Date {
  if (content.length !== 13 || content[12] !== 0x5a) throw new DerError('has a malformed UTCTime');
  const year = decimal(content, 0, 2);
  return moment(year >= 50 ? 1900 + year : 2000 + year, content, 2);
}

function generalizedTime(content: Uint8Array): Date {
  if (content.length !== 15 || content[14] !== 0x5a) {
    throw new DerError('has a malformed GeneralizedTime');
  }
  return moment(decimal(content, 0, 4), content, 4);
}

function moment(year: number, content: Uint8Array, offset: number): Date {
  const month = decimal(content, offset, 2);
  const day = decimal(content, offset + 2, 2);
  const hour = decimal(content, offset + 4, 2);
  const minute = decimal(content, offset + 6, 2);
  const second = decimal(content, offset + 8, 2);
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC takes years below 100 for those of the last century, and no certificate is so old.
  const exists =
    year >= 100 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= daysIn(year, month) &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  if (!exists) throw new DerError('has a time that does not exist');
  return new Date(time);
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
}

function decimal(content: Uint8Array, offset: number, digits: number): number {
  let value = 0;
  for (let index = offset; index < offset + digits; index += 1) {
    const digit = (content[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) throw new DerError('has a time with something else than digits');
    value = value * 10 + digit;
  }
  return value;
}

function tagName(tag: number): string {
  for (const [name, value] of Object.entries(Tag)) if (value === tag) return name;
  return `tag 0x${tag.toString(16).padStart(2, '0')}`;
}

/** The longest registered identifiers are far below; a bound keeps table keys small. */
const MAX_OBJECT_IDENTIFIER_BYTES = 64;
