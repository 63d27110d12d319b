import { equal } from '../bytes/bytes.ts';
import { CertificateError } from './certificate-error.ts';
import { revocationReasonOf, type RevocationReason } from './crl.ts';
import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import { element, objectIdentifier, sequence } from './der-writer.ts';
import { readName } from './distinguished-name.ts';
import { readRawExtensions } from './extensions.ts';
import { BASIC_OCSP_RESPONSE_OID, dottedOid, oidKey } from './oids.ts';
import { schemeOfAlgorithm } from './signature-algorithm.ts';

/** A certificate as OCSP names it (RFC 6960 §4.1.1): by its issuer's name and key, and its number. */
export interface OcspCertificateId {
  /** SHA-1 is a name here and proves nothing: what is named is vouched for by the signature. */
  readonly hash: 'sha1' | 'sha256';
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Content octets of the INTEGER. */
  readonly serialNumber: Uint8Array;
}

export type OcspCertificateStatus =
  | { readonly tag: 'good' }
  | { readonly tag: 'revoked'; readonly revokedAt: Date; readonly reason: RevocationReason }
  | { readonly tag: 'unknown' };

/** What a response says about one certificate. */
export interface OcspSingleResponse {
  readonly certificateId: OcspCertificateId;
  readonly status: OcspCertificateStatus;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | undefined;
}

/** Who signed: a DER name, or the SHA-1 of a public key's bits. */
export type OcspResponderId =
  | { readonly tag: 'byName'; readonly name: Uint8Array }
  | { readonly tag: 'byKey'; readonly keyHash: Uint8Array };

/** A successful basic OCSP response. Bytes are views of the input. */
export interface OcspResponse {
  /** The signed part. */
  readonly tbs: Uint8Array;
  readonly signatureScheme: number;
  readonly signature: Uint8Array;
  readonly responderId: OcspResponderId;
  readonly producedAt: Date;
  /** Those we can tell whom they are about: an ID made with another hash is left out. */
  readonly responses: readonly OcspSingleResponse[];
  /** DER certificates sent along, not looked at. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Parses a DER OCSPResponse
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 | RFC 6960 §4.2.1}). Strict about encoding and
 * bounded; the signature is not verified here. Keeps views of `der`.
 *
 * Throws `CertificateError` (`bad_certificate_status_response`): `malformed_ocsp_response`,
 * `unsupported_ocsp_response` for one with an unknown critical extension, type or algorithm,
 * `unsuccessful_ocsp_response` for an error of the responder.
 */
export function parseOcspResponse(der: Uint8Array): OcspResponse {
  if (der.length > MAX_RESPONSE_BYTES) {
    throw malformed(`is longer than ${String(MAX_RESPONSE_BYTES)} bytes`);
  }
  try {
    return readResponse(der);
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message, { cause: error });
    throw error;
  }
}

/*
 * OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }
 * ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
 */
function readResponse(der: Uint8Array): OcspResponse {
  const outer = readWhole(der, (reader) => reader.enter(Tag.sequence));
  const status = outer.content(Tag.enumerated);
  const wrapper = outer.enterOptional(Tag.contextConstructed(0));
  outer.end();
  if (!equal(status, successful)) {
    throw failure('unsuccessful_ocsp_response', `is the error ${status.join(' ')}`);
  }
  if (wrapper === undefined) throw new DerError('has no response bytes');
  const bytes = wrapper.enter(Tag.sequence);
  wrapper.end();
  const type = bytes.objectIdentifier();
  if (type !== keys.basic) throw unsupported(`is of type ${dottedOid(type)}`);
  const basic = bytes.content(Tag.octetString);
  bytes.end();
  return readBasicResponse(basic);
}

/*
 * BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData, signatureAlgorithm AlgorithmIdentifier,
 *   signature BIT STRING, certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
 */
function readBasicResponse(der: Uint8Array): OcspResponse {
  const outer = readWhole(der, (reader) => reader.enter(Tag.sequence));
  const tbs = outer.element(Tag.sequence);
  const signatureScheme = schemeOfAlgorithm(outer.element(Tag.sequence));
  const signature = outer.wholeBytes();
  const certificates = readCertificates(outer.enterOptional(Tag.contextConstructed(0)));
  outer.end();
  if (signatureScheme === undefined) {
    throw unsupported('is signed with an algorithm we do not accept');
  }
  return { tbs, signatureScheme, signature, certificates, ...readResponseData(tbs) };
}

function readCertificates(wrapper: DerReader | undefined): readonly Uint8Array[] {
  if (wrapper === undefined) return [];
  const list = wrapper.enter(Tag.sequence);
  wrapper.end();
  const certificates: Uint8Array[] = [];
  while (!list.done) {
    certificates.push(list.element(Tag.sequence));
    if (certificates.length > MAX_CERTIFICATES) throw malformed('has too many certificates');
  }
  return certificates;
}

/*
 * ResponseData ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, responderID ResponderID,
 *   producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse,
 *   responseExtensions [1] EXPLICIT Extensions OPTIONAL }
 */
function readResponseData(tbs: Uint8Array) {
  const reader = readWhole(tbs, (outer) => outer.enter(Tag.sequence));
  // Of version 1, as it is not encoded: that is the only one.
  if (reader.next(Tag.contextConstructed(0))) throw new DerError('encodes its version');
  const responderId = readResponderId(reader);
  const producedAt = reader.generalizedTime();
  const list = reader.enter(Tag.sequence);
  refuseCritical(reader.enterOptional(Tag.contextConstructed(1)));
  reader.end();
  const responses: OcspSingleResponse[] = [];
  for (let count = 0; !list.done; count += 1) {
    if (count === MAX_RESPONSES) throw malformed('speaks about too many certificates');
    const single = readSingleResponse(list.enter(Tag.sequence));
    if (single !== undefined) responses.push(single);
  }
  return { responderId, producedAt, responses };
}

/* ResponderID ::= CHOICE { byName [1] EXPLICIT Name, byKey [2] EXPLICIT OCTET STRING (SHA-1 of the key) } */
function readResponderId(reader: DerReader): OcspResponderId {
  const byName = reader.enterOptional(Tag.contextConstructed(1));
  if (byName !== undefined) {
    const name = readName(byName);
    byName.end();
    return { tag: 'byName', name };
  }
  const byKey = reader.enter(Tag.contextConstructed(2));
  const keyHash = byKey.content(Tag.octetString);
  byKey.end();
  return { tag: 'byKey', keyHash };
}

/*
 * SingleResponse ::= SEQUENCE { certID CertID, certStatus CertStatus, thisUpdate GeneralizedTime,
 *   nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, singleExtensions [1] EXPLICIT Extensions OPTIONAL }
 */
function readSingleResponse(reader: DerReader): OcspSingleResponse | undefined {
  const certificateId = readCertificateId(reader.enter(Tag.sequence));
  const status = readStatus(reader);
  const thisUpdate = reader.generalizedTime();
  const wrapper = reader.enterOptional(Tag.contextConstructed(0));
  const nextUpdate = wrapper?.generalizedTime();
  wrapper?.end();
  refuseCritical(reader.enterOptional(Tag.contextConstructed(1)));
  reader.end();
  return certificateId && { certificateId, status, thisUpdate, nextUpdate };
}

/**
 * Reads the fields of a CertID; `undefined` if it is made with a hash we do not compute. Throws
 * `DerError`.
 *
 * CertID ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING,
 *   issuerKeyHash OCTET STRING, serialNumber CertificateSerialNumber }
 */
export function readCertificateId(reader: DerReader): OcspCertificateId | undefined {
  const algorithm = reader.element(Tag.sequence);
  const issuerNameHash = reader.content(Tag.octetString);
  const issuerKeyHash = reader.content(Tag.octetString);
  const serialNumber = reader.integer();
  reader.end();
  const known = hashAlgorithms.find(([, ...forms]) => forms.some((form) => equal(form, algorithm)));
  return known && { hash: known[0], issuerNameHash, issuerKeyHash, serialNumber };
}

/*
 * CertStatus ::= CHOICE { good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT NULL }
 * RevokedInfo ::= SEQUENCE { revocationTime GeneralizedTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }
 */
function readStatus(reader: DerReader): OcspCertificateStatus {
  const revoked = reader.enterOptional(Tag.contextConstructed(1));
  if (revoked !== undefined) {
    const revokedAt = revoked.generalizedTime();
    const wrapper = revoked.enterOptional(Tag.contextConstructed(0));
    const reason =
      wrapper === undefined ? 'unspecified' : revocationReasonOf(wrapper.content(Tag.enumerated));
    wrapper?.end();
    revoked.end();
    return { tag: 'revoked', revokedAt, reason };
  }
  const isGood = reader.next(Tag.context(0));
  if (reader.content(Tag.context(isGood ? 0 : 2)).length > 0) {
    throw new DerError('has a NULL with contents');
  }
  return { tag: isGood ? 'good' : 'unknown' };
}

/** Unknown extensions are passed over unless critical (RFC 6960 §4.4); we know none. */
function refuseCritical(wrapper: DerReader | undefined): void {
  if (wrapper === undefined) return;
  for (const { oid, critical } of readRawExtensions(wrapper.enter(Tag.sequence))) {
    if (critical) throw unsupported(`has the critical extension ${dottedOid(oid)}`);
  }
  wrapper.end();
}

function malformed(problem: string, options?: ErrorOptions): CertificateError {
  return failure('malformed_ocsp_response', problem, options);
}

function unsupported(problem: string): CertificateError {
  return failure('unsupported_ocsp_response', problem);
}

function failure(reason: string, problem: string, options?: ErrorOptions): CertificateError {
  const alert = 'bad_certificate_status_response';
  return new CertificateError(alert, reason, `an OCSP response ${problem}`, options);
}

/** Real ones, with the certificate of their responder, have 500 to 5000. */
const MAX_RESPONSE_BYTES = 32 * 1024;
/** One is enough; a responder may add its own issuer. */
const MAX_CERTIFICATES = 8;
/** A staple is about one certificate, some responders answer in batches. */
const MAX_RESPONSES = 64;

const successful = Uint8Array.of(0);

const keys = { basic: oidKey(BASIC_OCSP_RESPONSE_OID) } as const;

/** The parameters are NULL or absent (RFC 5754 §2, RFC 3370 §2.1). */
const hashAlgorithms = (
  [
    ['sha1', '1.3.14.3.2.26'],
    ['sha256', '2.16.840.1.101.3.4.2.1'],
  ] as const
).map(([name, oid]) => {
  const identifier = objectIdentifier(oid);
  return [name, sequence(identifier, element(Tag.null)), sequence(identifier)] as const;
});
