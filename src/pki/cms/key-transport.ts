import type { KeyObject } from 'node:crypto';
import { decryptOaep, encryptOaep } from '../../crypto/rsa-oaep.ts';
import type { Certificate } from '../certificate.ts';
import {
  element,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
} from '../der-writer.ts';
import { DerError, type DerReader, Tag } from '../der.ts';
import { CmsError } from './cms-error.ts';
import { DigestOid, MGF1_OID, RSAES_OAEP_OID } from './cms-oids.ts';
import {
  type CertificateIdentifier,
  encodeIssuerAndSerialNumber,
  readIdentifier,
} from './identifiers.ts';

/** A content-encryption key encrypted with the recipient's RSA key. */
export interface KeyTransport {
  readonly tag: 'keyTransport';
  readonly recipient: CertificateIdentifier;
  readonly encryptedKey: Uint8Array;
}

/*
 * KeyTransRecipientInfo ::= SEQUENCE {
 *   version CMSVersion, -- always set to 0 or 2
 *   rid RecipientIdentifier, keyEncryptionAlgorithm KeyEncryptionAlgorithmIdentifier, encryptedKey EncryptedKey }
 */

/**
 * Reads the inside of a `KeyTransRecipientInfo`
 * ({@link https://www.rfc-editor.org/rfc/rfc5652#section-6.2.1 | RFC 5652 §6.2.1}) with RSAES-OAEP and SHA-256;
 * PKCS #1 v1.5 is refused: its padding is an oracle. Throws `CmsError` or `DerError`.
 */
export function readKeyTransport(reader: DerReader): KeyTransport {
  const version = reader.smallInteger();
  const recipient = readIdentifier(reader);
  if (version !== (recipient.tag === 'issuerAndSerialNumber' ? 0 : 2)) {
    throw new DerError('has another version than its recipient calls for');
  }
  const algorithm = reader.element(Tag.sequence);
  if (!oaepForms.some((form) => Buffer.compare(form, algorithm) === 0)) {
    const message = 'the key transport is not RSAES-OAEP with SHA-256';
    throw new CmsError('unsupported_algorithm', message);
  }
  const encryptedKey = reader.content(Tag.octetString);
  reader.end();
  return { tag: 'keyTransport', recipient, encryptedKey };
}

/** Encrypts a key for a certificate of an RSA key, which the caller has looked at. */
export function encodeKeyTransport(certificate: Certificate, key: Uint8Array): Uint8Array {
  return sequence(
    integer(0),
    encodeIssuerAndSerialNumber(certificate),
    writtenForm,
    octetString(encryptOaep(certificate.publicKey, key)),
  );
}

/** The encrypted key, the caller's to wipe; `undefined` if it was not encrypted for this one. */
export function openKeyTransport(
  { encryptedKey }: KeyTransport,
  privateKey: KeyObject,
): Uint8Array | undefined {
  return decryptOaep(privateKey, encryptedKey);
}

/*
 * RSAES-OAEP-params ::= SEQUENCE {
 *   hashFunc [0] AlgorithmIdentifier DEFAULT sha1, maskGenFunc [1] AlgorithmIdentifier DEFAULT mgf1SHA1,
 *   pSourceFunc [2] AlgorithmIdentifier DEFAULT pSpecifiedEmpty }
 */
function oaep(hashNull: boolean, maskNull: boolean): Uint8Array {
  const sha256 = (withNull: boolean) =>
    sequence(objectIdentifier(DigestOid.sha256), ...(withNull ? [element(Tag.null)] : []));
  return sequence(
    objectIdentifier(RSAES_OAEP_OID),
    sequence(
      explicit(0, sha256(hashNull)),
      explicit(1, sequence(objectIdentifier(MGF1_OID), sha256(maskNull))),
    ),
  );
}

/** RFC 4055 §2.1: NULL is written, and its absence understood. */
const writtenForm = oaep(true, true);
const oaepForms = [writtenForm, oaep(false, false), oaep(true, false), oaep(false, true)];
