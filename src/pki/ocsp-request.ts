import { CertificateError } from './certificate-error.ts';
import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import { readRawExtensions } from './extensions.ts';
import { type OcspCertificateId, readCertificateId } from './ocsp-response.ts';
import { dottedOid, OCSP_NONCE_OID, oidKey } from './oids.ts';

/** A question about certificates. Bytes are views of the input. */
export interface OcspRequest {
  /** At least one. */
  readonly certificates: readonly OcspRequestedCertificate[];
  /** Value of the nonce extension, to be returned as it is. */
  readonly nonce: Uint8Array | undefined;
}

export interface OcspRequestedCertificate {
  /** The CertID as the client wrote it, to be returned as it is. */
  readonly encoded: Uint8Array;
  /** Absent: made with a hash we do not compute. */
  readonly id: OcspCertificateId | undefined;
}

/**
 * Parses a DER OCSPRequest
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#section-4.1.1 | RFC 6960 §4.1.1}), strict about encoding and
 * bounded. A signature on it is passed over: anybody may ask. Keeps views of `der`.
 *
 * Throws `CertificateError`: `malformed_ocsp_request`, `unsupported_ocsp_request` for one with an
 * unknown critical extension.
 */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > MAX_OCSP_REQUEST_BYTES) {
    throw malformed(`is longer than ${String(MAX_OCSP_REQUEST_BYTES)} bytes`);
  }
  try {
    return readRequest(der);
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message, { cause: error });
    throw error;
  }
}

/** One with a signature and a chain fits; what asks about a certificate has about 80 bytes. */
export const MAX_OCSP_REQUEST_BYTES = 8 * 1024;

/*
 * OCSPRequest ::= SEQUENCE { tbsRequest TBSRequest, optionalSignature [0] EXPLICIT Signature OPTIONAL }
 * TBSRequest ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, requestorName [1] EXPLICIT GeneralName OPTIONAL,
 *   requestList SEQUENCE OF Request, requestExtensions [2] EXPLICIT Extensions OPTIONAL }
 */
function readRequest(der: Uint8Array): OcspRequest {
  const outer = readWhole(der, (reader) => reader.enter(Tag.sequence));
  const reader = outer.enter(Tag.sequence);
  outer.enterOptional(Tag.contextConstructed(0));
  outer.end();
  // Of version 1, as it is not encoded: that is the only one.
  if (reader.next(Tag.contextConstructed(0))) throw new DerError('encodes its version');
  reader.enterOptional(Tag.contextConstructed(1));
  const list = reader.enter(Tag.sequence);
  const nonce = readRequestExtensions(reader.enterOptional(Tag.contextConstructed(2)));
  reader.end();
  const certificates: OcspRequestedCertificate[] = [];
  do {
    if (certificates.length === MAX_CERTIFICATES) throw malformed('asks for too many certificates');
    certificates.push(readRequested(list.enter(Tag.sequence)));
  } while (!list.done);
  return { certificates, nonce };
}

/* Request ::= SEQUENCE { reqCert CertID, singleRequestExtensions [0] EXPLICIT Extensions OPTIONAL } */
function readRequested(reader: DerReader): OcspRequestedCertificate {
  const encoded = reader.element(Tag.sequence);
  const id = readCertificateId(readWhole(encoded, (whole) => whole.enter(Tag.sequence)));
  const wrapper = reader.enterOptional(Tag.contextConstructed(0));
  if (wrapper !== undefined) {
    for (const { oid, critical } of readRawExtensions(wrapper.enter(Tag.sequence))) {
      if (critical) throw unsupported(`has the critical extension ${dottedOid(oid)}`);
    }
    wrapper.end();
  }
  reader.end();
  return { encoded, id };
}

function readRequestExtensions(wrapper: DerReader | undefined): Uint8Array | undefined {
  if (wrapper === undefined) return undefined;
  let nonce: Uint8Array | undefined;
  for (const { oid, critical, value } of readRawExtensions(wrapper.enter(Tag.sequence))) {
    if (oid === nonceKey) nonce = checkedNonce(value);
    else if (critical) throw unsupported(`has the critical extension ${dottedOid(oid)}`);
  }
  wrapper.end();
  return nonce;
}

/** Nonce ::= OCTET STRING (SIZE (1..128)), RFC 9654 §2.1. */
function checkedNonce(value: Uint8Array): Uint8Array {
  const { length } = readWhole(value, (reader) => reader.content(Tag.octetString));
  if (length === 0 || length > 128) throw new DerError('has a nonce of improper length');
  return value;
}

function malformed(problem: string, options?: ErrorOptions): CertificateError {
  return failure('malformed_ocsp_request', problem, options);
}

function unsupported(problem: string): CertificateError {
  return failure('unsupported_ocsp_request', problem);
}

function failure(reason: string, problem: string, options?: ErrorOptions): CertificateError {
  return new CertificateError('certificate_unknown', reason, `an OCSP request ${problem}`, options);
}

const nonceKey = oidKey(OCSP_NONCE_OID);

/** Clients ask about one certificate, or those of a chain. */
const MAX_CERTIFICATES = 16;
