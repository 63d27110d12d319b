import { CertificateError } from './certificate-error.ts';

/** One block of a PEM file. */
export interface PemBlock {
  /** Text between `BEGIN` and the dashes. */
  readonly label: string;
  /** Decoded, in memory of its own: the caller may wipe it. */
  readonly der: Uint8Array;
}

/**
 * Reads the blocks of a PEM file in order
 * ({@link https://www.rfc-editor.org/rfc/rfc7468#section-2 | RFC 7468 §2}). Works on bytes: no part of
 * a block ever becomes a string, which could not be wiped, except its label. Text around blocks is
 * skipped. Header lines of the old encrypted form and any other bytes inside a block are refused.
 *
 * Throws `CertificateError` (`malformed_pem`).
 */
export function parsePem(bytes: Uint8Array): readonly PemBlock[] {
  if (bytes.length > MAX_PEM_BYTES)
    throw malformed(`is longer than ${String(MAX_PEM_BYTES)} bytes`);
  const blocks: PemBlock[] = [];
  let offset = nextBoundary(bytes, 0, beginMarker);
  while (offset !== -1) {
    const labelStart = offset + beginMarker.length;
    const labelEnd = indexOf(bytes, dashes, labelStart);
    const label = readLabel(bytes.subarray(labelStart, Math.max(labelEnd, labelStart)));
    const bodyStart = labelEnd + dashes.length;
    const bodyEnd = nextBoundary(bytes, bodyStart, endMarker);
    if (bodyEnd === -1) throw malformed(`has no end of ${label}`);
    const endLabelStart = bodyEnd + endMarker.length;
    const expected = Buffer.from(`${label}-----`, 'latin1');
    if (
      indexOf(bytes.subarray(endLabelStart, endLabelStart + expected.length), expected, 0) !== 0
    ) {
      throw malformed(`does not end ${label} by its name`);
    }
    if (blocks.length === MAX_PEM_BLOCKS) {
      throw malformed(`has more than ${String(MAX_PEM_BLOCKS)} blocks`);
    }
    blocks.push({ label, der: decodeBase64(bytes.subarray(bodyStart, bodyEnd), label) });
    offset = nextBoundary(bytes, endLabelStart + expected.length, beginMarker);
  }
  return blocks;
}

/** One PEM block with lines of 64 characters, in memory the caller owns and may wipe. */
export function encodePem(label: string, der: Uint8Array): Uint8Array {
  const begin = Buffer.from(`-----BEGIN ${label}-----\n`, 'latin1');
  const end = Buffer.from(`-----END ${label}-----\n`, 'latin1');
  const characters = Math.ceil(der.length / 3) * 4;
  const body = characters + Math.ceil(characters / LINE);
  const out = Buffer.alloc(begin.length + body + end.length);
  out.set(begin, 0);
  encodeBase64(der, out.subarray(begin.length, begin.length + body));
  out.set(end, begin.length + body);
  return out;
}

/** The certificates of a PEM file as DER, in order. Throws if another kind of block is among them. */
export function parseCertificatePem(bytes: Uint8Array): readonly Uint8Array[] {
  return parsePem(bytes).map(({ label, der }) => {
    if (label !== 'CERTIFICATE' && label !== 'X509 CERTIFICATE') {
      der.fill(0);
      throw malformed(`has a block ${label} where only certificates should be`);
    }
    return der;
  });
}

function nextBoundary(bytes: Uint8Array, from: number, marker: Uint8Array): number {
  let offset = indexOf(bytes, marker, from);
  // A boundary starts a line (RFC 7468 §3).
  while (offset > 0 && bytes[offset - 1] !== LINE_FEED && bytes[offset - 1] !== CARRIAGE_RETURN) {
    offset = indexOf(bytes, marker, offset + 1);
  }
  return offset;
}

function readLabel(bytes: Uint8Array): string {
  const label = Buffer.from(bytes.subarray(0, 65)).toString('latin1');
  if (!/^[A-Z0-9]+( [A-Z0-9]+)*$/.test(label) || label.length > 64) {
    throw malformed('has a block without a proper label');
  }
  return label;
}

function indexOf(bytes: Uint8Array, part: Uint8Array, from: number): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(part, from);
}

function decodeBase64(text: Uint8Array, label: string): Uint8Array {
  if (text.includes(COLON)) {
    throw malformed(`has header lines, as of an encrypted key, in ${label}`);
  }
  // Upper bound first, in memory that is wiped when something is wrong.
  const out = Buffer.alloc(Math.ceil((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let length = 0;
  let digits = 0;
  let padding = 0;
  for (const byte of text) {
    if (byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === 0x20 || byte === 0x09) continue;
    if (byte === PADDING) {
      padding += 1;
      continue;
    }
    const digit = decodeTable[byte] ?? INVALID;
    if (digit === INVALID || padding > 0)
      return refuse(out, `has other bytes than base64 in ${label}`);
    held = (held << 6) | digit;
    bits += 6;
    digits += 1;
    if (bits >= 8) {
      bits -= 8;
      out[length] = (held >> bits) & 0xff;
      length += 1;
      held &= (1 << bits) - 1;
    }
  }
  const complete = (digits + padding) % 4 === 0 && padding <= 2 && held === 0;
  if (!complete || length === 0) return refuse(out, `has incomplete base64 in ${label}`);
  const der = Buffer.alloc(length);
  der.set(out.subarray(0, length));
  out.fill(0);
  return der;
}

function refuse(secret: Uint8Array, problem: string): never {
  secret.fill(0);
  throw malformed(problem);
}

function encodeBase64(der: Uint8Array, out: Uint8Array): void {
  let written = 0;
  let column = 0;
  const put = (character: number) => {
    out[written] = character;
    written += 1;
    column += 1;
    if (column === LINE) {
      out[written] = LINE_FEED;
      written += 1;
      column = 0;
    }
  };
  for (let index = 0; index < der.length; index += 3) {
    const a = der[index] ?? 0;
    const b = der[index + 1];
    const c = der[index + 2];
    put(encodeTable[a >> 2] ?? 0);
    put(encodeTable[((a & 0x03) << 4) | ((b ?? 0) >> 4)] ?? 0);
    put(b === undefined ? PADDING : (encodeTable[((b & 0x0f) << 2) | ((c ?? 0) >> 6)] ?? 0));
    put(c === undefined ? PADDING : (encodeTable[c & 0x3f] ?? 0));
  }
  if (column > 0) out[written] = LINE_FEED;
}

function malformed(problem: string): CertificateError {
  return new CertificateError('bad_certificate', 'malformed_pem', `the PEM file ${problem}`);
}

/** Room for the roots of the public web several times over. */
const MAX_PEM_BYTES = 4 * 1024 * 1024;
const MAX_PEM_BLOCKS = 2000;
const LINE = 64;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const PADDING = 0x3d;
const COLON = 0x3a;
const INVALID = 0xff;

const dashes = Buffer.from('-----', 'latin1');
const beginMarker = Buffer.from('-----BEGIN ', 'latin1');
const endMarker = Buffer.from('-----END ', 'latin1');
const encodeTable = Buffer.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  'latin1',
);
const decodeTable = new Uint8Array(256).fill(INVALID);
for (const [digit, character] of encodeTable.entries()) decodeTable[character] = digit;
