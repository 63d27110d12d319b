import type { KeyObject } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { type RevocationReason, revocationReasons } from './crl.ts';
import * as der from './der-writer.ts';
import {
  encodeAuthorityKeyId,
  encodeExtension,
  keyIdentifier,
  usableKind,
} from './issue-certificate.ts';
import { ExtensionOid } from './oids.ts';
import { algorithmOfScheme, defaultScheme, signIssued } from './signature-algorithm.ts';

export interface CrlTemplate {
  readonly issuer: { readonly certificate: Certificate; readonly privateKey: KeyObject };
  /** Greater than that of every earlier CRL of this issuer. */
  readonly crlNumber: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: Iterable<CrlTemplateEntry>;
  /** TLS number; absent: by the issuer's key. */
  readonly signatureScheme?: number;
}

export interface CrlTemplateEntry {
  /** Big-endian, positive. */
  readonly serialNumber: Uint8Array;
  readonly revokedAt: Date;
  /** Absent or `unspecified`: not encoded, as RFC 5280 §5.3.1 asks. */
  readonly reason?: RevocationReason;
}

/**
 * Issues a complete CRL of version 2 with CRL number and authority key identifier
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-5.1 | RFC 5280 §5.1}); DER, owned by the caller.
 * Time and memory grow with the number of entries only. Throws `RangeError` or `TypeError`.
 */
export function issueCrl(template: CrlTemplate): Uint8Array {
  const { certificate, privateKey } = template.issuer;
  if (certificate.keyUsage?.includes('cRLSign') === false) {
    throw new RangeError('the issuer may not sign CRLs');
  }
  const scheme = template.signatureScheme ?? defaultScheme(usableKind(privateKey));
  const algorithm = algorithmOfScheme(scheme);
  const entries = Array.from(template.revoked, encodeEntry);
  const issuerKeyId = certificate.subjectKeyId ?? keyIdentifier(certificate.publicKeyInfo);
  const tbs = der.sequence(
    der.integer(1),
    algorithm,
    certificate.subject,
    der.time(template.thisUpdate),
    der.time(template.nextUpdate),
    // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
    ...(entries.length > 0 ? [der.sequenceOf(entries)] : []),
    der.explicit(
      0,
      der.sequence(
        encodeExtension(
          ExtensionOid.authorityKeyIdentifier,
          false,
          encodeAuthorityKeyId(issuerKeyId),
        ),
        encodeExtension(ExtensionOid.crlNumber, false, encodeNumber(template.crlNumber)),
      ),
    ),
  );
  return der.sequence(tbs, algorithm, der.bitString(signIssued(privateKey, scheme, tbs)));
}

function encodeEntry({ serialNumber, revokedAt, reason }: CrlTemplateEntry): Uint8Array {
  const encodedReason =
    reason === undefined || reason === 'unspecified'
      ? []
      : [
          der.sequence(
            encodeExtension(
              ExtensionOid.reasonCode,
              false,
              der.enumerated(revocationReasons[reason]),
            ),
          ),
        ];
  return der.sequence(der.unsignedInteger(serialNumber), der.time(revokedAt), ...encodedReason);
}

function encodeNumber(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 159n) throw new RangeError('a CRL number has at most 20 bytes');
  const digits = value.toString(16);
  return der.unsignedInteger(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
}
