import type { KeyObject } from 'node:crypto';
import { isAcceptableKey } from '../crypto/signatures.ts';
import { CertificateError } from './certificate-error.ts';
import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import * as der from './der-writer.ts';
import { emptyName, relativeNames } from './distinguished-name.ts';
import { readRawExtensions } from './extensions.ts';
import {
  encodeGeneralNames,
  type GeneralNames,
  noNames,
  readGeneralNames,
} from './general-names.ts';
import { encodeExtension, exportPublicKeyInfo, usableKind } from './issue-certificate.ts';
import { EXTENSION_REQUEST_OID, ExtensionOid, oidKey } from './oids.ts';
import { importPublicKeyInfo, parsePublicKeyInfo, type PublicKeyInfo } from './public-key-info.ts';
import {
  algorithmOfScheme,
  defaultScheme,
  schemeOfAlgorithm,
  signIssued,
  verifyIssued,
} from './signature-algorithm.ts';

/** A request whose sender proved to hold the private key. Names in it are wishes, not facts. */
export interface CertificateRequest {
  readonly publicKey: KeyObject;
  /** DER `SubjectPublicKeyInfo`, a view of the request. */
  readonly publicKeyInfo: Uint8Array;
  /** DER name. */
  readonly subject: Uint8Array;
  readonly subjectAltNames: GeneralNames;
}

export interface CertificateRequestTemplate {
  readonly publicKey: KeyObject;
  /** Signs the request, as proof of possession. */
  readonly privateKey: KeyObject;
  /** DER name; absent: empty. */
  readonly subject?: Uint8Array;
  readonly subjectAltNames?: Partial<GeneralNames>;
  /** TLS number; absent: by the key. */
  readonly signatureScheme?: number;
}

/**
 * Makes a PKCS #10 request ({@link https://www.rfc-editor.org/rfc/rfc2986#section-4 | RFC 2986 §4}); DER,
 * owned by the caller. Throws `RangeError` or `TypeError` for a template that cannot be encoded.
 */
export function createCertificateRequest(template: CertificateRequestTemplate): Uint8Array {
  const { subject = emptyName, subjectAltNames, privateKey } = template;
  const scheme = template.signatureScheme ?? defaultScheme(usableKind(privateKey));
  const algorithm = algorithmOfScheme(scheme);
  const attributes =
    subjectAltNames === undefined
      ? []
      : [
          der.sequence(
            der.objectIdentifier(EXTENSION_REQUEST_OID),
            der.setOf(
              der.sequence(
                encodeExtension(
                  ExtensionOid.subjectAltName,
                  false,
                  encodeGeneralNames(subjectAltNames),
                ),
              ),
            ),
          ),
        ];
  const info = der.sequence(
    der.integer(0),
    subject,
    exportPublicKeyInfo(template.publicKey),
    der.explicit(0, ...attributes),
  );
  return der.sequence(info, algorithm, der.bitString(signIssued(privateKey, scheme, info)));
}

/**
 * Parses a PKCS #10 request and verifies its proof of possession. The key is of a kind and size we
 * use.
 *
 * Throws `CertificateError`: `malformed_certificate_request`, `unsupported_public_key`,
 * `unsupported_signature_algorithm`, `bad_request_signature`.
 */
export function parseCertificateRequest(bytes: Uint8Array): CertificateRequest {
  if (bytes.length > MAX_REQUEST_BYTES) {
    throw malformed(`is longer than ${String(MAX_REQUEST_BYTES)} bytes`);
  }
  try {
    return readRequest(bytes);
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message, { cause: error });
    throw error;
  }
}

/*
 * CertificationRequest ::= SEQUENCE { certificationRequestInfo, signatureAlgorithm AlgorithmIdentifier, signature BIT STRING }
 * CertificationRequestInfo ::= SEQUENCE { version INTEGER, subject Name, subjectPKInfo SubjectPublicKeyInfo,
 *   attributes [0] IMPLICIT SET OF SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY } }
 */
function readRequest(bytes: Uint8Array): CertificateRequest {
  const outer = readWhole(bytes, (reader) => reader.enter(Tag.sequence));
  const info = outer.element(Tag.sequence);
  const scheme = schemeOfAlgorithm(outer.element(Tag.sequence));
  const signature = outer.wholeBytes();
  outer.end();
  const reader = readWhole(info, (whole) => whole.enter(Tag.sequence));
  if (reader.smallInteger() !== 0) throw new DerError('has an unknown version');
  const subject = reader.element(Tag.sequence);
  relativeNames(subject);
  const publicKeyInfo = reader.element(Tag.sequence);
  const subjectAltNames = readAttributes(reader.enter(Tag.contextConstructed(0)));
  reader.end();
  const publicKey = verifiedKey(publicKeyInfo, scheme, info, signature);
  return { publicKey, publicKeyInfo, subject, subjectAltNames };
}

function readAttributes(attributes: DerReader): GeneralNames {
  let names: GeneralNames = noNames;
  while (!attributes.done) {
    const attribute = attributes.enter(Tag.sequence);
    const type = attribute.objectIdentifier();
    const values = attribute.enter(Tag.set);
    attribute.end();
    if (type !== extensionRequest) continue;
    for (const { oid, value } of readRawExtensions(values.enter(Tag.sequence))) {
      if (oid !== subjectAltName) continue;
      names = readWhole(value, (whole) => readGeneralNames(whole.enter(Tag.sequence)));
    }
    values.end();
  }
  return names;
}

function verifiedKey(
  publicKeyInfo: Uint8Array,
  scheme: number | undefined,
  info: Uint8Array,
  signature: Uint8Array,
): KeyObject {
  const keyInfo = parsePublicKeyInfo(publicKeyInfo);
  const { keyKind } = keyInfo;
  const publicKey = keyKind === undefined ? undefined : importKey(keyInfo);
  if (keyKind === undefined || publicKey === undefined || !isAcceptableKey(publicKey)) {
    throw refuse('unsupported_public_key', 'the key in the request is of a kind we do not use');
  }
  if (scheme === undefined) {
    const message = 'the request is signed with an algorithm we do not accept';
    throw refuse('unsupported_signature_algorithm', message);
  }
  if (!verifyIssued(publicKey, keyKind, scheme, info, signature)) {
    throw refuse('bad_request_signature', 'the request is not signed with the key in it');
  }
  return publicKey;
}

function importKey(info: PublicKeyInfo): KeyObject | undefined {
  try {
    return importPublicKeyInfo(info);
  } catch {
    // Points off the curve and the like: OpenSSL's account adds nothing for the sender.
    return undefined;
  }
}

function malformed(problem: string, options?: ErrorOptions): CertificateError {
  const message = `the certificate request ${problem}`;
  return new CertificateError('bad_certificate', 'malformed_certificate_request', message, options);
}

function refuse(reason: string, message: string): CertificateError {
  return new CertificateError('unsupported_certificate', reason, message);
}

/** An RSA-8192 request with many names is below 8 KiB. */
const MAX_REQUEST_BYTES = 16 * 1024;
const extensionRequest = oidKey(EXTENSION_REQUEST_OID);
const subjectAltName = oidKey(ExtensionOid.subjectAltName);
