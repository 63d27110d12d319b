import { equal } from '../../bytes/bytes.ts';
import type { Certificate } from '../certificate.ts';
import { readName } from '../distinguished-name.ts';
import { element, sequence } from '../der-writer.ts';
import { type DerReader, Tag } from '../der.ts';

/** How CMS says which certificate it means: of a signer or of a recipient. */
export type CertificateIdentifier =
  | {
      readonly tag: 'issuerAndSerialNumber';
      /** DER name. */
      readonly issuer: Uint8Array;
      /** Content octets of the INTEGER. */
      readonly serialNumber: Uint8Array;
    }
  | { readonly tag: 'subjectKeyIdentifier'; readonly keyIdentifier: Uint8Array };

/* IssuerAndSerialNumber ::= SEQUENCE { issuer Name, serialNumber CertificateSerialNumber } */

/** Reads an `IssuerAndSerialNumber` (RFC 5652 §10.2.4). Throws `DerError`. */
export function readIssuerAndSerialNumber(reader: DerReader): CertificateIdentifier {
  const inside = reader.enter(Tag.sequence);
  const issuer = readName(inside);
  const serialNumber = inside.integer();
  inside.end();
  return { tag: 'issuerAndSerialNumber', issuer, serialNumber };
}

/* CHOICE { issuerAndSerialNumber IssuerAndSerialNumber, subjectKeyIdentifier [0] SubjectKeyIdentifier } */

/** Reads a `SignerIdentifier` or `RecipientIdentifier` (RFC 5652 §5.3, §6.2.1). Throws `DerError`. */
export function readIdentifier(reader: DerReader): CertificateIdentifier {
  if (!reader.next(Tag.context(0))) return readIssuerAndSerialNumber(reader);
  return { tag: 'subjectKeyIdentifier', keyIdentifier: reader.content(Tag.context(0)) };
}

/** Whether a certificate is the one that is meant, byte for byte. */
export function identifies(
  identifier: CertificateIdentifier,
  { issuer, serialNumber, subjectKeyId }: Certificate,
): boolean {
  switch (identifier.tag) {
    case 'issuerAndSerialNumber':
      return equal(identifier.issuer, issuer) && equal(identifier.serialNumber, serialNumber);
    case 'subjectKeyIdentifier':
      return subjectKeyId !== undefined && equal(identifier.keyIdentifier, subjectKeyId);
  }
}

/** The identifier we write: issuer and serial number. */
export function encodeIssuerAndSerialNumber(certificate: Certificate): Uint8Array {
  return sequence(certificate.issuer, element(Tag.integer, certificate.serialNumber));
}
