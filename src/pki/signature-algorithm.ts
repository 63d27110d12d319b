import { verify, type KeyObject } from 'node:crypto';
import type { KeyKind } from '../crypto/keys.ts';
import { signSync, verifySignature } from '../crypto/signatures.ts';
import { element, explicit, integer, objectIdentifier, sequence } from './der-writer.ts';
import { Tag } from './der.ts';

/**
 * The algorithms certificates, CRLs and requests may be signed with, as `AlgorithmIdentifier` DER
 * (RFC 5758 §3.2, RFC 8410 §3, RFC 8017 appendix A.2, RFC 4055 §3.1) and as the TLS scheme numbers
 * the rest of the product speaks. A signature is recognised by the bytes of its whole identifier, so
 * parameters cannot be wrong or padded. SHA-1 and MD5 are not here and so never verify (RFC 9155).
 *
 * PSS carries the number of its `rsae` form; with a key restricted to PSS it becomes the `pss` form.
 */
export const ecdsaWithSha512 = 0x0603;

/** The TLS scheme number of an `AlgorithmIdentifier`, or `undefined` for one we do not verify. */
export function schemeOfAlgorithm(algorithmIdentifier: Uint8Array): number | undefined {
  return schemes.get(key(algorithmIdentifier));
}

/** The `AlgorithmIdentifier` DER of a scheme we sign with. Throws `RangeError` for others. */
export function algorithmOfScheme(scheme: number): Uint8Array {
  const identifier = identifiers.get(pssRsaeOf(scheme) ?? scheme);
  if (identifier === undefined) {
    throw new RangeError(`no certificate signature for scheme 0x${scheme.toString(16)}`);
  }
  return identifier;
}

/** Whether a key of this kind can have made a signature of this scheme on a certificate. */
export function schemeFitsIssuer(scheme: number, kind: KeyKind): boolean {
  switch (kind) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return scheme === 0x0403 || scheme === 0x0503 || scheme === ecdsaWithSha512;
    case 'ed25519':
      return scheme === 0x0807;
    case 'rsa':
      return (scheme >= 0x0804 && scheme <= 0x0806) || pkcs1Schemes.includes(scheme);
    case 'rsa-pss':
      return scheme >= 0x0804 && scheme <= 0x0806;
  }
}

/** Whether `signature` over `content` is the issuer's. Never throws; `false` for anything wrong. */
export function verifyIssued(
  issuerKey: KeyObject,
  issuerKind: KeyKind,
  scheme: number,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!schemeFitsIssuer(scheme, issuerKind)) return false;
  if (scheme === ecdsaWithSha512) {
    // TLS has no name for SHA-512 on our curves, so the scheme table does not know it.
    return verifyEcdsaSha512(issuerKey, content, signature);
  }
  const wireScheme = issuerKind === 'rsa-pss' ? scheme + (0x0809 - 0x0804) : scheme;
  return verifySignature(issuerKey, wireScheme, content, signature);
}

/** Signs what we issue; PKCS #1 and PSS as the scheme says. Throws `TypeError` if they do not fit. */
export function signIssued(issuerKey: KeyObject, scheme: number, content: Uint8Array): Uint8Array {
  return signSync(issuerKey, scheme, content);
}

/** What a key signs certificates with unless told otherwise: the form most software can verify. */
export function defaultScheme(kind: KeyKind): number {
  return defaults[kind];
}

function verifyEcdsaSha512(
  issuerKey: KeyObject,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    return verify('sha512', content, issuerKey, signature);
  } catch {
    // OpenSSL reports some malformed signatures as errors.
    return false;
  }
}

function pssRsaeOf(scheme: number): number | undefined {
  return scheme >= 0x0809 && scheme <= 0x080b ? scheme - (0x0809 - 0x0804) : undefined;
}

function key(algorithmIdentifier: Uint8Array): string {
  return Buffer.from(
    algorithmIdentifier.buffer,
    algorithmIdentifier.byteOffset,
    algorithmIdentifier.byteLength,
  ).toString('latin1');
}

const pkcs1Schemes: readonly number[] = [0x0401, 0x0501, 0x0601];

/** Exhaustive by type, so a new kind of key needs a decision here. */
const defaults: Readonly<Record<KeyKind, number>> = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
  ed25519: 0x0807,
  rsa: 0x0401,
  'rsa-pss': 0x0809,
};

const derNull = element(Tag.null);

/*
 * RSASSA-PSS-params ::= SEQUENCE {
 *   hashAlgorithm [0] HashAlgorithm DEFAULT sha1, maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT mgf1SHA1,
 *   saltLength [2] INTEGER DEFAULT 20, trailerField [3] TrailerField DEFAULT trailerFieldBC }
 * The parameters of a hash are absent or NULL: both are accepted (RFC 4055 §2.1), we write NULL.
 */
function pss(
  hashOid: string,
  saltLength: number,
  outerNull: boolean,
  innerNull: boolean,
): Uint8Array {
  const hash = (withNull: boolean) =>
    sequence(objectIdentifier(hashOid), ...(withNull ? [derNull] : []));
  return sequence(
    objectIdentifier('1.2.840.113549.1.1.10'),
    sequence(
      explicit(0, hash(outerNull)),
      explicit(1, sequence(objectIdentifier('1.2.840.113549.1.1.8'), hash(innerNull))),
      explicit(2, integer(saltLength)),
    ),
  );
}

function pssForms(hashOid: string, saltLength: number): readonly Uint8Array[] {
  return [
    pss(hashOid, saltLength, true, true),
    pss(hashOid, saltLength, false, false),
    pss(hashOid, saltLength, true, false),
    pss(hashOid, saltLength, false, true),
  ];
}

/** The first form of each is the one we write. */
const algorithms: readonly (readonly [number, readonly Uint8Array[]])[] = [
  [0x0403, [sequence(objectIdentifier('1.2.840.10045.4.3.2'))]],
  [0x0503, [sequence(objectIdentifier('1.2.840.10045.4.3.3'))]],
  [ecdsaWithSha512, [sequence(objectIdentifier('1.2.840.10045.4.3.4'))]],
  [0x0807, [sequence(objectIdentifier('1.3.101.112'))]],
  [0x0401, [sequence(objectIdentifier('1.2.840.113549.1.1.11'), derNull)]],
  [0x0501, [sequence(objectIdentifier('1.2.840.113549.1.1.12'), derNull)]],
  [0x0601, [sequence(objectIdentifier('1.2.840.113549.1.1.13'), derNull)]],
  [0x0804, pssForms('2.16.840.1.101.3.4.2.1', 32)],
  [0x0805, pssForms('2.16.840.1.101.3.4.2.2', 48)],
  [0x0806, pssForms('2.16.840.1.101.3.4.2.3', 64)],
];

const schemes = new Map(
  algorithms.flatMap(([scheme, forms]) => forms.map((form) => [key(form), scheme] as const)),
);

const identifiers = new Map(
  algorithms.flatMap(([scheme, [form]]) => (form === undefined ? [] : [[scheme, form] as const])),
);
