/** What revocations call a certificate by. */
export interface LeafNames {
  /** Serial number without leading zeros, one character for each byte. */
  readonly key: string;
  /** DER. */
  readonly issuer: Uint8Array;
}

// Certificate     ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
// TBSCertificate  ::= SEQUENCE {
//   version         [0] EXPLICIT INTEGER DEFAULT v1,
//   serialNumber    INTEGER,
//   signature       SEQUENCE,
//   issuer          Name, … }

/**
 * Serial number and issuer of the leaf ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.1 | RFC
 * 5280 §4.1}), or `undefined` for no leaf and for bytes that are no certificate. The sidecar has judged
 * the certificate; here it is only looked up, and once for all connections that share a chain.
 */
export function leafNames(chain: readonly Uint8Array[]): LeafNames | undefined {
  const known = cache.get(chain);
  if (known !== undefined) return known;
  const [leaf] = chain;
  const names = leaf === undefined ? undefined : readNames(leaf);
  if (names !== undefined) cache.set(chain, names);
  return names;
}

function readNames(leaf: Uint8Array): LeafNames | undefined {
  const certificate = elementAt(leaf, 0);
  const tbs = certificate && elementAt(leaf, certificate.start);
  if (tbs === undefined) return undefined;
  const first = elementAt(leaf, tbs.start);
  const serial = first?.tag === explicitVersion ? elementAt(leaf, first.end) : first;
  const algorithm = serial && elementAt(leaf, serial.end);
  const issuer = algorithm && elementAt(leaf, algorithm.end);
  if (serial?.tag !== integer || issuer?.tag !== sequence) return undefined;
  let { start } = serial;
  while (start < serial.end && leaf[start] === 0) start += 1;
  return {
    key: Buffer.from(leaf.subarray(start, serial.end)).toString('latin1'),
    issuer: leaf.subarray(algorithm?.end, issuer.end),
  };
}

interface Element {
  readonly tag: number;
  /** Where the contents are. */
  readonly start: number;
  readonly end: number;
}

/** `undefined` if what is there is cut short, or of a length no certificate has. */
function elementAt(bytes: Uint8Array, offset: number): Element | undefined {
  const tag = bytes[offset];
  const short = bytes[offset + 1];
  if (tag === undefined || short === undefined) return undefined;
  const extra = short < 0x80 ? 0 : short & 0x7f;
  if (extra > 3) return undefined;
  let length = extra === 0 ? short : 0;
  for (let index = 0; index < extra; index += 1) {
    length = length * 256 + (bytes[offset + 2 + index] ?? 0);
  }
  const start = offset + 2 + extra;
  return start + length > bytes.length ? undefined : { tag, start, end: start + length };
}

const cache = new WeakMap<readonly Uint8Array[], LeafNames>();
const explicitVersion = 0xa0;
const integer = 0x02;
const sequence = 0x30;
