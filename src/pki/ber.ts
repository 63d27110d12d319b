import { concat } from '../bytes/bytes.ts';
import { element } from './der-writer.ts';
import { DerError, Tag } from './der.ts';

/**
 * Turns BER into DER as far as containers of keys need it: indefinite and padded lengths become
 * minimal ones, octet strings in pieces become whole (X.690 §8.1.3, §8.7.3). Values are copied as
 * they are. For files of our own operator only: what peers send has to be DER.
 *
 * Throws `DerError`.
 */
export function toDer(ber: Uint8Array): Uint8Array {
  const parsed = convert(ber, 0, 0);
  if (parsed.end !== ber.length) throw new DerError('has trailing bytes');
  return parsed.der;
}

function convert(bytes: Uint8Array, start: number, depth: number): Converted {
  if (depth > MAX_DEPTH) throw new DerError('is nested too deep');
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw new DerError('ends too early');
  if ((tag & 0x1f) === 0x1f) throw new DerError('has a tag number above 30');
  const isConstructed = (tag & 0x20) !== 0;
  if (first === 0x80) {
    if (!isConstructed) throw new DerError('has a primitive of indefinite length');
    return convertChildren(bytes, tag, start + 2, undefined, depth);
  }
  const octets = first < 0x80 ? 0 : first & 0x7f;
  if (octets > 4) throw new DerError('has an oversize length');
  let length = octets === 0 ? first : 0;
  for (let index = 0; index < octets; index += 1) {
    length = length * 256 + (bytes[start + 2 + index] ?? 0);
  }
  const contentStart = start + 2 + octets;
  const end = contentStart + length;
  if (end > bytes.length) throw new DerError('has an element longer than its parent');
  if (isConstructed) return convertChildren(bytes, tag, contentStart, end, depth);
  return { der: element(tag, bytes.subarray(contentStart, end)), end };
}

/** `end` is absent for an indefinite length, which two zero bytes close. */
function convertChildren(
  bytes: Uint8Array,
  tag: number,
  start: number,
  end: number | undefined,
  depth: number,
): Converted {
  const children: Uint8Array[] = [];
  let offset = start;
  while (end === undefined ? !isEndOfContents(bytes, offset) : offset < end) {
    const child = convert(bytes, offset, depth + 1);
    children.push(child.der);
    offset = child.end;
  }
  if (end !== undefined && offset !== end) {
    throw new DerError('has an element longer than its parent');
  }
  const after = end ?? offset + 2;
  if (tag === CONSTRUCTED_OCTET_STRING) {
    return { der: element(Tag.octetString, joinOctetStrings(children)), end: after };
  }
  return { der: element(tag, ...children), end: after };
}

/** The octets of OCTET STRING elements, one after the other. */
export function joinOctetStrings(pieces: readonly Uint8Array[]): Uint8Array {
  return concat(
    ...pieces.map((piece) => {
      if (piece[0] !== Tag.octetString) throw new DerError('has a piece that is no octet string');
      const first = piece[1] ?? 0;
      return piece.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
    }),
  );
}

function isEndOfContents(bytes: Uint8Array, offset: number): boolean {
  if (offset + 2 > bytes.length) throw new DerError('has an indefinite length without an end');
  return bytes[offset] === 0 && bytes[offset + 1] === 0;
}

interface Converted {
  readonly der: Uint8Array;
  readonly end: number;
}

const MAX_DEPTH = 32;
const CONSTRUCTED_OCTET_STRING = 0x24;
