import { Reader, ReadError } from '../../bytes/reader.ts';

/**
 * Refuses (with `ReadError`) bytes that are not the DER of a Name as far as its outline goes:
 * `SEQUENCE OF SET`, definite minimal lengths, nothing behind. Names are compared as bytes, so what
 * is inside the sets is of no concern here (RFC 5280 §4.1.2.4).
 */
export function checkDistinguishedName(name: Uint8Array): void {
  const outer = new Reader(name);
  const sets = element(outer, sequence);
  outer.end();
  while (sets.remaining > 0) element(sets, set);
}

function element(reader: Reader, tag: number): Reader {
  if (reader.u8() !== tag) throw new ReadError('not a distinguished name');
  return new Reader(reader.take(length(reader)));
}

function length(reader: Reader): number {
  const first = reader.u8();
  if (first < 0x80) return first;
  // A name inside a two-byte vector never needs more than two length bytes.
  if (first === 0x81) return atLeast(0x80, reader.u8());
  if (first === 0x82) return atLeast(0x100, reader.u16());
  throw new ReadError('distinguished name: indefinite or oversized length');
}

function atLeast(minimum: number, value: number): number {
  if (value < minimum) throw new ReadError('distinguished name: length is not minimal');
  return value;
}

const sequence = 0x30;
const set = 0x31;
