import { createHash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { type RevocationReason, revocationReasons } from './crl.ts';
import * as der from './der-writer.ts';
import { encodeExtension } from './issue-certificate.ts';
import type { OcspCertificateId, OcspCertificateStatus } from './ocsp-response.ts';
import { BASIC_OCSP_RESPONSE_OID, OCSP_NONCE_OID } from './oids.ts';
import { parsePublicKeyInfo } from './public-key-info.ts';
import { algorithmOfScheme } from './signature-algorithm.ts';

/** What a responder says about one certificate. */
export interface OcspAnswer {
  /** The CertID as the client wrote it. */
  readonly encodedId: Uint8Array;
  readonly status: OcspCertificateStatus;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export interface OcspResponseContent {
  /** Who signs; named by the hash of its key. */
  readonly responder: Certificate;
  readonly producedAt: Date;
  readonly answers: readonly OcspAnswer[];
  /** Value of the nonce extension of the request. */
  readonly nonce?: Uint8Array;
}

/**
 * The to-be-signed part of an OCSP response
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 | RFC 6960 §4.2.1}); {@link joinOcspSignature}
 * completes it. Throws `RangeError` for moments that cannot be encoded.
 *
 * ResponseData ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, responderID ResponderID,
 *   producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse,
 *   responseExtensions [1] EXPLICIT Extensions OPTIONAL }
 */
export function encodeOcspToBeSigned(content: OcspResponseContent): Uint8Array {
  const { nonce } = content;
  return der.sequence(
    der.explicit(2, der.octetString(issuerHashes(content.responder, 'sha1').key)),
    der.generalizedTime(content.producedAt),
    der.sequenceOf(content.answers.map(encodeAnswer)),
    ...(nonce === undefined
      ? []
      : [der.explicit(1, der.sequence(encodeExtension(OCSP_NONCE_OID, false, nonce)))]),
  );
}

/**
 * The whole response, with the responder's certificate for clients that do not have it.
 *
 * @param scheme TLS number of what it is signed with
 */
export function joinOcspSignature(
  toBeSigned: Uint8Array,
  scheme: number,
  signature: Uint8Array,
  certificates: readonly Uint8Array[],
): Uint8Array {
  const basic = der.sequence(
    toBeSigned,
    algorithmOfScheme(scheme),
    der.bitString(signature),
    ...(certificates.length === 0 ? [] : [der.explicit(0, der.sequence(...certificates))]),
  );
  const bytes = der.sequence(der.objectIdentifier(BASIC_OCSP_RESPONSE_OID), der.octetString(basic));
  return der.sequence(der.enumerated(0), der.explicit(0, bytes));
}

/** Errors a responder answers with, unsigned (RFC 6960 §2.3). */
export const ocspErrors = {
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  unauthorized: 6,
} as const;
export type OcspError = keyof typeof ocspErrors;

export function encodeOcspError(error: OcspError): Uint8Array {
  return der.sequence(der.enumerated(ocspErrors[error]));
}

/** How a CertID names a CA: hashes of its name and its key. */
export function issuerHashes(
  issuer: Certificate,
  hash: OcspCertificateId['hash'],
): { readonly name: Uint8Array; readonly key: Uint8Array } {
  const digest = (bytes: Uint8Array): Uint8Array => createHash(hash).update(bytes).digest();
  return {
    name: digest(issuer.subject),
    key: digest(parsePublicKeyInfo(issuer.publicKeyInfo).keyBits),
  };
}

/*
 * SingleResponse ::= SEQUENCE { certID CertID, certStatus CertStatus, thisUpdate GeneralizedTime,
 *   nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, singleExtensions [1] EXPLICIT Extensions OPTIONAL }
 */
function encodeAnswer(answer: OcspAnswer): Uint8Array {
  return der.sequence(
    answer.encodedId,
    encodeStatus(answer.status),
    der.generalizedTime(answer.thisUpdate),
    der.explicit(0, der.generalizedTime(answer.nextUpdate)),
  );
}

/*
 * CertStatus ::= CHOICE { good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT NULL }
 * RevokedInfo ::= SEQUENCE { revocationTime GeneralizedTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }
 */
function encodeStatus(status: OcspCertificateStatus): Uint8Array {
  switch (status.tag) {
    case 'good':
      return der.implicit(0, empty);
    case 'unknown':
      return der.implicit(2, empty);
    case 'revoked':
      return der.explicit(1, der.generalizedTime(status.revokedAt), ...encodeReason(status.reason));
  }
}

/** As in CRLs (RFC 5280 §5.3.1): `unspecified` is said by saying nothing. */
function encodeReason(reason: RevocationReason): readonly Uint8Array[] {
  if (reason === 'unspecified') return [];
  return [der.explicit(0, der.enumerated(revocationReasons[reason]))];
}

const empty = new Uint8Array(0);
