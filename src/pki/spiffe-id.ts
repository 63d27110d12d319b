import type { Certificate } from './certificate.ts';

/** A SPIFFE ID in its parts; `text` is the ID as compared, byte for byte. */
export interface SpiffeId {
  readonly text: string;
  readonly trustDomain: string;
  /** Starts with a slash; empty for the ID of a trust domain itself. */
  readonly path: string;
}

/**
 * Parses a SPIFFE ID
 * ({@link https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity | SPIFFE-ID §2}).
 * Strict and by hand, as URL parsers normalise what must be compared byte for byte: lower-case trust
 * domain without user, port or percent signs, path segments of `[A-Za-z0-9._-]` that are neither empty
 * nor dots only, no query, no fragment, at most 2048 bytes. `undefined` for anything else.
 */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > MAX_SPIFFE_ID || !text.startsWith(SCHEME)) return undefined;
  const slash = text.indexOf('/', SCHEME.length);
  const trustDomain = text.slice(SCHEME.length, slash === -1 ? undefined : slash);
  const path = slash === -1 ? '' : text.slice(slash);
  if (!isTrustDomain(trustDomain)) return undefined;
  if (path !== '' && !path.slice(1).split('/').every(isSegment)) return undefined;
  return { text, trustDomain, path };
}

/** Whether a text can be the name of a trust domain (SPIFFE-ID §2.1). */
export function isTrustDomain(text: string): boolean {
  return text.length <= MAX_TRUST_DOMAIN && /^[a-z0-9._-]+$/.test(text);
}

/**
 * The SPIFFE ID a leaf certificate asserts
 * ({@link https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#2-spiffe-id | X509-SVID §2, §4, §5}),
 * or `undefined` if it is not an X.509-SVID: it needs exactly one URI, which is a SPIFFE ID with a path,
 * must not be a CA, and must have a key usage with `digitalSignature` and neither `keyCertSign` nor
 * `cRLSign`. Names of other kinds do not matter. Says nothing about who issued it.
 */
export function spiffeIdOf(certificate: Certificate): string | undefined {
  const [uri, second] = certificate.subjectAltNames.uris;
  if (uri === undefined || second !== undefined) return undefined;
  const id = parseSpiffeId(uri);
  if (id === undefined || id.path === '') return undefined;
  if (certificate.basicConstraints?.isCa === true) return undefined;
  const usage = certificate.keyUsage ?? [];
  const isLeafUsage =
    usage.includes('digitalSignature') &&
    !usage.includes('keyCertSign') &&
    !usage.includes('cRLSign');
  return isLeafUsage ? id.text : undefined;
}

/** Whether a signing certificate carries the ID of a workload, which X509-SVID §2 forbids. */
export function hasWorkloadId(certificate: Certificate): boolean {
  return certificate.subjectAltNames.uris.some((uri) => {
    if (!uri.startsWith(SCHEME)) return false;
    return parseSpiffeId(uri)?.path !== '';
  });
}

function isSegment(segment: string): boolean {
  return /^[A-Za-z0-9._-]+$/.test(segment) && segment !== '.' && segment !== '..';
}

const SCHEME = 'spiffe://';
const MAX_SPIFFE_ID = 2048;
const MAX_TRUST_DOMAIN = 255;
