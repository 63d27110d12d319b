import { Tag } from './der.ts';

/** One DER element: tag, minimal definite length, contents (X.690 §8.1, §10.1). */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  return join(tag, contents);
}

export function sequence(...elements: readonly Uint8Array[]): Uint8Array {
  return join(Tag.sequence, elements);
}

/** A SEQUENCE OF of any length: more elements than a call may have arguments. */
export function sequenceOf(elements: readonly Uint8Array[]): Uint8Array {
  return join(Tag.sequence, elements);
}

/** A SET OF: DER wants the elements in ascending order of their encodings (X.690 §11.6). */
export function setOf(...elements: readonly Uint8Array[]): Uint8Array {
  return element(Tag.set, ...[...elements].sort((a, b) => Buffer.compare(a, b)));
}

/** A non-negative INTEGER from its big-endian magnitude: shortest form, sign bit clear. */
export function unsignedInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
  const digits = magnitude.subarray(start);
  const first = digits[0];
  if (first === undefined) return element(Tag.integer, Uint8Array.of(0));
  return first >= 0x80
    ? element(Tag.integer, Uint8Array.of(0), digits)
    : element(Tag.integer, digits);
}

/** A small non-negative INTEGER. */
export function integer(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${String(value)} is not a non-negative integer`);
  }
  const magnitude = new Uint8Array(8);
  new DataView(magnitude.buffer).setBigUint64(0, BigInt(value));
  return unsignedInteger(magnitude);
}

export function enumerated(value: number): Uint8Array {
  return element(Tag.enumerated, Uint8Array.of(value));
}

export function boolean(value: boolean): Uint8Array {
  return element(Tag.boolean, Uint8Array.of(value ? 0xff : 0x00));
}

export function octetString(value: Uint8Array): Uint8Array {
  return element(Tag.octetString, value);
}

/** A BIT STRING of whole bytes. */
export function bitString(value: Uint8Array): Uint8Array {
  return element(Tag.bitString, Uint8Array.of(0), value);
}

/** A BIT STRING of named bits: trailing zero bits are not encoded (X.690 §11.2.2). */
export function namedBits(bits: readonly number[]): Uint8Array {
  const highest = Math.max(-1, ...bits);
  if (highest < 0) return element(Tag.bitString, Uint8Array.of(0));
  const value = new Uint8Array(Math.floor(highest / 8) + 1);
  for (const bit of bits) {
    const index = Math.floor(bit / 8);
    value[index] = (value[index] ?? 0) | (0x80 >> (bit % 8));
  }
  return element(Tag.bitString, Uint8Array.of(7 - (highest % 8)), value);
}

/** An OBJECT IDENTIFIER from its dotted form. Throws `RangeError` for anything else. */
export function objectIdentifier(dotted: string): Uint8Array {
  if (!/^[0-2](\.(0|[1-9][0-9]*))+$/.test(dotted)) {
    throw new RangeError(`not an object identifier: ${dotted}`);
  }
  const [first = 0n, second = 0n, ...others] = dotted.split('.').map((arc) => BigInt(arc));
  if (first < 2n && second >= 40n) throw new RangeError(`not an object identifier: ${dotted}`);
  const content = [first * 40n + second, ...others].flatMap(base128);
  return element(Tag.objectIdentifier, Uint8Array.from(content));
}

export function utf8String(value: string): Uint8Array {
  return element(Tag.utf8String, Buffer.from(value, 'utf8'));
}

export function printableString(value: string): Uint8Array {
  return element(Tag.printableString, Buffer.from(value, 'latin1'));
}

/**
 * A moment as certificates and CRLs want it: whole seconds, UTCTime through 2049 and
 * GeneralizedTime from 2050 ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5 | RFC 5280 §4.1.2.5}).
 */
export function time(moment: Date): Uint8Array {
  const year = moment.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) {
    throw new RangeError('a certificate holds times from 1950 to 9999');
  }
  return year < 2050
    ? element(Tag.utcTime, Buffer.from(`${timeDigits(moment).slice(2)}Z`, 'latin1'))
    : generalizedTime(moment);
}

/** GeneralizedTime in whole seconds, where it is the only choice. */
export function generalizedTime(moment: Date): Uint8Array {
  const year = moment.getUTCFullYear();
  if (!(year >= 1 && year <= 9999)) throw new RangeError('a year has four digits');
  return element(Tag.generalizedTime, Buffer.from(`${timeDigits(moment)}Z`, 'latin1'));
}

/** `[number] EXPLICIT`: a constructed context-specific wrapper. */
export function explicit(number: number, ...contents: readonly Uint8Array[]): Uint8Array {
  return element(Tag.contextConstructed(number), ...contents);
}

/** `[number] IMPLICIT` of a primitive type. */
export function implicit(number: number, content: Uint8Array): Uint8Array {
  return element(Tag.context(number), content);
}

function join(tag: number, contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const content of contents) length += content.length;
  const start = header(tag, length);
  // From Node's pool: what is written here is public, and most of it is small.
  const out = Buffer.allocUnsafe(start.length + length);
  out.set(start);
  let offset = start.length;
  for (const content of contents) {
    out.set(content, offset);
    offset += content.length;
  }
  return out;
}

function header(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(tag, length);
  if (length < 0x100) return Uint8Array.of(tag, 0x81, length);
  if (length < 0x10000) return Uint8Array.of(tag, 0x82, length >> 8, length & 0xff);
  if (length < 0x1000000) {
    return Uint8Array.of(tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff);
  }
  if (length < 0x80000000) {
    const octets = [length >> 24, length >> 16, length >> 8, length].map((value) => value & 0xff);
    return Uint8Array.of(tag, 0x84, ...octets);
  }
  throw new RangeError(`DER element of ${String(length)} bytes`);
}

function timeDigits(moment: Date): string {
  return moment.toISOString().slice(0, 19).replace(/[-T:]/g, '');
}

function base128(arc: bigint): number[] {
  const digits = [Number(arc & 0x7fn)];
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) digits.unshift(Number(rest & 0x7fn) | 0x80);
  return digits;
}
