import type { HashName } from '../../crypto/hash.ts';
import type { Certificate } from '../certificate.ts';
import { element, integer, octetString, sequence } from '../der-writer.ts';
import { DerError, type DerReader, readWhole, Tag } from '../der.ts';
import { algorithmOfScheme, schemeOfAlgorithm, verifyIssued } from '../signature-algorithm.ts';
import { parseSignedAttributes, type SignedAttributes } from './attributes.ts';
import { CmsError } from './cms-error.ts';
import { digestOfAlgorithm, digestOfScheme, encodeDigestAlgorithm } from './digest-algorithm.ts';
import {
  type CertificateIdentifier,
  encodeIssuerAndSerialNumber,
  readIdentifier,
} from './identifiers.ts';
import { reading } from './reading.ts';
import { usableKey } from './usable-key.ts';

/** One signature of a `SignedData`, not verified. */
export interface SignerInfo {
  readonly version: 1 | 3;
  readonly signer: CertificateIdentifier;
  readonly digest: HashName;
  readonly attributes: SignedAttributes;
  /** DER as it was signed. */
  readonly signedBytes: Uint8Array;
  /** TLS number of the scheme. */
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/*
 * SignerInfo ::= SEQUENCE {
 *   version CMSVersion, sid SignerIdentifier, digestAlgorithm DigestAlgorithmIdentifier,
 *   signedAttrs [0] IMPLICIT SignedAttributes OPTIONAL, signatureAlgorithm SignatureAlgorithmIdentifier,
 *   signature SignatureValue, unsignedAttrs [1] IMPLICIT UnsignedAttributes OPTIONAL }
 */

/**
 * Reads a `SignerInfo` ({@link https://www.rfc-editor.org/rfc/rfc5652#section-5.3 | RFC 5652 §5.3}). It must
 * have signed attributes, without which a signature says nothing of what it is for, and no unsigned
 * ones, which anybody may have added. Throws `CmsError`.
 */
export function parseSignerInfo(der: Uint8Array): SignerInfo {
  return reading('the SignerInfo', der, (bytes) =>
    readSignerInfo(readWhole(bytes, (outer) => outer.enter(Tag.sequence))),
  );
}

/** Whether the signature is by this certificate's key, over the attributes. */
export function isSignedBy(info: SignerInfo, certificate: Certificate): boolean {
  const { keyKind } = certificate;
  const publicKey = usableKey(certificate);
  if (keyKind === undefined || publicKey === undefined) return false;
  return verifyIssued(publicKey, keyKind, info.scheme, info.signedBytes, info.signature);
}

/** A signature over `signedAttributes`, the `SET OF` that was signed, by the key of a certificate. */
export function encodeSignerInfo(content: {
  readonly certificate: Certificate;
  readonly signedAttributes: Uint8Array;
  /** TLS number. */
  readonly scheme: number;
  readonly signature: Uint8Array;
}): Uint8Array {
  const { certificate, signedAttributes, scheme, signature } = content;
  const digest = digestOfScheme(scheme);
  if (digest === undefined) throw new RangeError(`no CMS signature for scheme ${String(scheme)}`);
  const inside = readWhole(signedAttributes, (reader) => reader.content(Tag.set));
  return sequence(
    integer(1),
    encodeIssuerAndSerialNumber(certificate),
    encodeDigestAlgorithm(digest),
    element(Tag.contextConstructed(0), inside),
    algorithmOfScheme(scheme),
    octetString(signature),
  );
}

function readSignerInfo(reader: DerReader): SignerInfo {
  const version = reader.smallInteger();
  const signer = readIdentifier(reader);
  const digest = digestOfAlgorithm(reader.element(Tag.sequence));
  if (!reader.next(Tag.contextConstructed(0))) {
    throw new CmsError('not_signed', 'the SignerInfo has no signed attributes');
  }
  const attributes = reader.element(Tag.contextConstructed(0));
  const scheme = schemeOfAlgorithm(reader.element(Tag.sequence));
  const signature = reader.content(Tag.octetString);
  if (reader.next(Tag.contextConstructed(1))) {
    throw new CmsError('attributes_unusable', 'the SignerInfo has unsigned attributes');
  }
  reader.end();
  // RFC 5652 §5.3: 1 with issuer and serial number, 3 with a key identifier.
  const expected = signer.tag === 'issuerAndSerialNumber' ? 1 : 3;
  if (version !== expected) throw new DerError('has another version than its signer calls for');
  if (scheme === undefined || digest === undefined || digestOfScheme(scheme) !== digest) {
    throw new CmsError('unsupported_algorithm', 'the SignerInfo has an algorithm we do not verify');
  }
  // RFC 5652 §5.4: signed with the tag of a SET OF, sent with another one of the same length.
  const signedBytes = Uint8Array.from(attributes);
  signedBytes[0] = Tag.set;
  return {
    version: expected,
    signer,
    digest,
    attributes: parseSignedAttributes(readWhole(signedBytes, (outer) => outer.content(Tag.set))),
    signedBytes,
    scheme,
    signature,
  };
}
