import { equal } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { type Certificate, parseCertificate } from '../certificate.ts';
import {
  element,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../der-writer.ts';
import { DerError, type DerReader, readWhole, Tag } from '../der.ts';
import { dottedOid } from '../oids.ts';
import type { SignedAttributes } from './attributes.ts';
import { CmsError } from './cms-error.ts';
import { ContentTypeOid } from './cms-oids.ts';
import { encodeContentInfo, parseContentInfo } from './content-info.ts';
import { digestOfAlgorithm, encodeDigestAlgorithm } from './digest-algorithm.ts';
import { identifies } from './identifiers.ts';
import { reading } from './reading.ts';
import { isSignedBy, parseSignerInfo, type SignerInfo } from './signer-info.ts';

/** Content with its signature, which holds. Whether the signer is to be believed is another question. */
export interface SignedContent {
  /** Dotted. */
  readonly contentType: string;
  /** The very bytes that were verified; a view. */
  readonly content: Uint8Array;
  readonly attributes: SignedAttributes;
  /** The certificate whose key signed: what has to be chained, and no other. */
  readonly signer: Certificate;
  /** DER: the signer's first, then all others that came with it. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Reads a `ContentInfo` with a `SignedData`
 * ({@link https://www.rfc-editor.org/rfc/rfc5652#section-5 | RFC 5652 §5}) and verifies its one signature:
 * attached content, one signer who is among the certificates, ECDSA, Ed25519 or RSA-PSS with a hash of
 * the SHA-2 family. Nothing comes out that was not verified.
 *
 * Throws `CmsError`.
 */
export function openSignedData(der: Uint8Array): SignedContent {
  const { contentType, content } = parseContentInfo(der);
  if (contentType !== ContentTypeOid.signedData) {
    throw new CmsError('not_signed', `the content is of type ${contentType}, not SignedData`);
  }
  return verify(parseSignedData(content));
}

/** A `SignedData` in its parts, not verified. */
export interface UnverifiedSignedData {
  readonly contentType: string;
  readonly content: Uint8Array;
  readonly certificates: readonly Certificate[];
  readonly signerInfo: SignerInfo;
}

/*
 * SignedData ::= SEQUENCE {
 *   version CMSVersion, digestAlgorithms DigestAlgorithmIdentifiers, encapContentInfo EncapsulatedContentInfo,
 *   certificates [0] IMPLICIT CertificateSet OPTIONAL, crls [1] IMPLICIT RevocationInfoChoices OPTIONAL,
 *   signerInfos SET OF SignerInfo }
 * EncapsulatedContentInfo ::= SEQUENCE { eContentType ContentType, eContent [0] EXPLICIT OCTET STRING OPTIONAL }
 */

/** Reads a `SignedData` and verifies nothing. Throws `CmsError`. */
export function parseSignedData(der: Uint8Array): UnverifiedSignedData {
  return reading('the SignedData', der, (bytes) => {
    const reader = readWhole(bytes, (outer) => outer.enter(Tag.sequence));
    const version = reader.smallInteger();
    const digestAlgorithms = reader.enter(Tag.set);
    const { contentType, content } = readEncapsulated(reader.enter(Tag.sequence));
    const certificates = readCertificates(reader);
    if (reader.next(Tag.contextConstructed(1)))
      throw new DerError('has CRLs, which nobody asked for');
    const signerInfo = readOnlySigner(reader.enter(Tag.set));
    reader.end();
    // RFC 5652 §5.1.
    const isPlain = contentType === ContentTypeOid.data && signerInfo.version === 1;
    if (version !== (isPlain ? 1 : 3)) throw new DerError('has another version than it calls for');
    const digest = digestOfAlgorithm(digestAlgorithms.element(Tag.sequence));
    digestAlgorithms.end();
    if (digest !== signerInfo.digest) throw new DerError('announces another digest than is used');
    return { contentType, content, certificates, signerInfo };
  });
}

/** A `ContentInfo` with content and a signature over it that was made elsewhere. Throws `CmsError`. */
export function encodeSignedData(parts: {
  /** Dotted. */
  readonly contentType: string;
  readonly content: Uint8Array;
  /** DER, the signer's first. */
  readonly certificates: readonly Uint8Array[];
  /** DER. */
  readonly signerInfo: Uint8Array;
}): Uint8Array {
  const { contentType, content, certificates, signerInfo } = parts;
  const { digest, version } = parseSignerInfo(signerInfo);
  const isPlain = contentType === ContentTypeOid.data && version === 1;
  return encodeContentInfo({
    contentType: ContentTypeOid.signedData,
    content: sequence(
      integer(isPlain ? 1 : 3),
      setOf(encodeDigestAlgorithm(digest)),
      sequence(objectIdentifier(contentType), explicit(0, octetString(content))),
      element(Tag.contextConstructed(0), ...inOrder(certificates)),
      setOf(signerInfo),
    ),
  });
}

function verify(signed: UnverifiedSignedData): SignedContent {
  const { contentType, content, certificates, signerInfo } = signed;
  const { attributes, digest } = signerInfo;
  if (attributes.contentType !== contentType) {
    throw new CmsError('attributes_unusable', 'the signature is for content of another type');
  }
  if (!equal(attributes.messageDigest, hash(digest, content))) {
    throw new CmsError('digest_mismatch', 'the signature is for other content');
  }
  const [signer, another] = certificates.filter((one) => identifies(signerInfo.signer, one));
  if (signer === undefined || another !== undefined) {
    throw new CmsError('signer_missing', 'the signer is not exactly one of the certificates');
  }
  if (!isSignedBy(signerInfo, signer)) {
    throw new CmsError('signature_invalid', 'the signature is not by the key of its signer');
  }
  const others = certificates.filter((one) => one !== signer);
  return {
    contentType,
    content,
    attributes,
    signer,
    certificates: [signer, ...others].map((one) => one.der),
  };
}

function readEncapsulated(reader: DerReader): { contentType: string; content: Uint8Array } {
  const contentType = dottedOid(reader.objectIdentifier());
  const wrapper = reader.enterOptional(Tag.contextConstructed(0));
  reader.end();
  if (wrapper === undefined) {
    throw new CmsError('content_detached', 'the SignedData has no content of its own');
  }
  const content = wrapper.content(Tag.octetString);
  wrapper.end();
  return { contentType, content };
}

/** CertificateSet ::= SET OF CertificateChoices: plain certificates only, the other kinds have tags. */
function readCertificates(reader: DerReader): readonly Certificate[] {
  const set = reader.enterOptional(Tag.contextConstructed(0));
  const certificates: Certificate[] = [];
  while (set?.done === false) {
    if (certificates.length >= MAX_CERTIFICATES) throw new DerError('has too many certificates');
    certificates.push(parseCertificate(set.element(Tag.sequence)));
  }
  return certificates;
}

function readOnlySigner(set: DerReader): SignerInfo {
  const signerInfo = set.done ? undefined : set.element(Tag.sequence);
  if (signerInfo === undefined) {
    throw new CmsError('not_signed', 'the SignedData has no signer');
  }
  if (!set.done) throw new CmsError('several_signers', 'the SignedData has several signers');
  return parseSignerInfo(signerInfo);
}

/** X.690 §11.6. */
function inOrder(certificates: readonly Uint8Array[]): readonly Uint8Array[] {
  return [...certificates].sort((a, b) => Buffer.compare(a, b));
}

/** Longer than any chain that is accepted. */
const MAX_CERTIFICATES = 10;
