import { hash } from '../crypto/hash.ts';
import type { Certificate } from './certificate.ts';

/** The certificates paths may end in, found by name. Immutable: a new bundle is a new value. */
export interface TrustAnchors {
  readonly certificates: readonly Certificate[];
  /** SHA-256 over the set: the same for the same certificates in any order. */
  readonly digest: Uint8Array;
  /** Anchors with this DER name as their subject. */
  withSubject(name: Uint8Array): readonly Certificate[];
}

/**
 * Makes a set of anchors. Each certificate in it is trusted as an issuer, self-signed or not; whether
 * it may issue is judged when a path reaches it, so one bad root does not spoil a bundle.
 */
export function createTrustAnchors(certificates: readonly Certificate[]): TrustAnchors {
  const distinct = new Map(certificates.map((each) => [latin1(each.fingerprint), each]));
  const index = indexBySubject([...distinct.values()]);
  const fingerprints = [...distinct.values()]
    .map(({ fingerprint }) => fingerprint)
    .sort((a, b) => Buffer.compare(a, b));
  return {
    certificates: [...distinct.values()],
    digest: hash('sha256', ...fingerprints),
    withSubject: (name) => index.get(latin1(name)) ?? [],
  };
}

/** Certificates by the bytes of their subject. */
export function indexBySubject(
  certificates: readonly Certificate[],
): ReadonlyMap<string, readonly Certificate[]> {
  const index = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const key = latin1(certificate.subject);
    const others = index.get(key);
    if (others === undefined) index.set(key, [certificate]);
    else others.push(certificate);
  }
  return index;
}

/** Bytes as a key for tables. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
