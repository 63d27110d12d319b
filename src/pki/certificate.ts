import type { KeyObject } from 'node:crypto';
import { equal } from '../bytes/bytes.ts';
import { hash } from '../crypto/hash.ts';
import type { KeyKind } from '../crypto/keys.ts';
import { CertificateError } from './certificate-error.ts';
import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import { describeName, readName } from './distinguished-name.ts';
import {
  type BasicConstraints,
  type CertificateExtensions,
  type KeyUsage,
  type NameConstraints,
  noExtensions,
  readCertificateExtensions,
} from './extensions.ts';
import { type GeneralNames, noNames } from './general-names.ts';
import { importPublicKeyInfo, parsePublicKeyInfo, type PublicKeyInfo } from './public-key-info.ts';
import { schemeOfAlgorithm } from './signature-algorithm.ts';

/**
 * Parses one DER certificate
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.1 | RFC 5280 §4.1}). Strict about encoding,
 * silent about policy: whether it is any good for something is for `verifyChain` to say.
 *
 * Throws `CertificateError` (`bad_certificate`, `malformed_certificate`). Keeps views of `der`, which
 * must not change afterwards.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw malformed(`is longer than ${String(MAX_CERTIFICATE_BYTES)} bytes`);
  }
  try {
    // A plain view: of a Buffer, every slice below would cost several times as much.
    return readCertificate(new Uint8Array(der.buffer, der.byteOffset, der.byteLength));
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message, { cause: error });
    throw error;
  }
}

/**
 * A parsed certificate. Bytes are views of the input and belong to it. Two values are made on first
 * use and kept: the imported public key and the fingerprint.
 */
export class Certificate {
  readonly der: Uint8Array;
  /** The signed part. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content octets of the INTEGER. */
  readonly serialNumber: Uint8Array;
  /** TLS number of the algorithm it is signed with; PSS as `rsae`. `undefined`: we do not verify it. */
  readonly signatureScheme: number | undefined;
  readonly signature: Uint8Array;
  /** DER names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** DER `SubjectPublicKeyInfo`. */
  readonly publicKeyInfo: Uint8Array;
  readonly keyKind: KeyKind | undefined;
  readonly extensions: CertificateExtensions;
  #publicKey: KeyObject | undefined;
  #fingerprint: Uint8Array | undefined;

  constructor(fields: CertificateFields) {
    this.der = fields.der;
    this.tbs = fields.tbs;
    this.version = fields.version;
    this.serialNumber = fields.serialNumber;
    this.signatureScheme = fields.signatureScheme;
    this.signature = fields.signature;
    this.issuer = fields.issuer;
    this.subject = fields.subject;
    this.notBefore = fields.notBefore;
    this.notAfter = fields.notAfter;
    this.publicKeyInfo = fields.publicKeyInfo.der;
    this.keyKind = fields.publicKeyInfo.keyKind;
    this.extensions = fields.extensions;
  }

  /** Throws `CertificateError` (`unsupported_certificate`) for a key node:crypto cannot import. */
  get publicKey(): KeyObject {
    this.#publicKey ??= importPublicKey(this);
    return this.#publicKey;
  }

  /** SHA-256 of the whole certificate. */
  get fingerprint(): Uint8Array {
    this.#fingerprint ??= hash('sha256', this.der);
    return this.#fingerprint;
  }

  /** Names of the subject; empty if the extension is absent. */
  get subjectAltNames(): GeneralNames {
    return this.extensions.subjectAltNames ?? noNames;
  }

  get basicConstraints(): BasicConstraints | undefined {
    return this.extensions.basicConstraints;
  }

  get keyUsage(): readonly KeyUsage[] | undefined {
    return this.extensions.keyUsage;
  }

  get extendedKeyUsage(): readonly string[] | undefined {
    return this.extensions.extendedKeyUsage;
  }

  get nameConstraints(): NameConstraints | undefined {
    return this.extensions.nameConstraints;
  }

  /** Whether a server showing it has to staple an OCSP response (RFC 7633 §4.2.3). */
  get mustStaple(): boolean {
    return this.extensions.tlsFeatures?.includes(STATUS_REQUEST_FEATURE) ?? false;
  }

  get authorityKeyId(): Uint8Array | undefined {
    return this.extensions.authorityKeyId;
  }

  get subjectKeyId(): Uint8Array | undefined {
    return this.extensions.subjectKeyId;
  }
}

/** A certificate in a message: its subject, or what else names it. */
export function describeCertificate(certificate: Certificate): string {
  const { uris, dnsNames } = certificate.subjectAltNames;
  const name = uris[0] ?? dnsNames[0];
  if (certificate.subject.length > 2 || name === undefined)
    return describeName(certificate.subject);
  return name.length > 200 ? `${name.slice(0, 200)}...` : name.replace(/[^\x20-\x7e]/g, '?');
}

interface CertificateFields {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  readonly serialNumber: Uint8Array;
  readonly signatureScheme: number | undefined;
  readonly signature: Uint8Array;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKeyInfo: PublicKeyInfo;
  readonly extensions: CertificateExtensions;
}

/* Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING } */
function readCertificate(der: Uint8Array): Certificate {
  const outer = readWhole(der, (reader) => reader.enter(Tag.sequence));
  const tbs = outer.element(Tag.sequence);
  const algorithm = outer.element(Tag.sequence);
  const signature = outer.wholeBytes();
  outer.end();
  const inner = readTbsCertificate(tbs);
  if (!equal(inner.signatureAlgorithm, algorithm)) {
    throw new DerError('names two different signature algorithms');
  }
  return new Certificate({
    ...inner,
    der,
    tbs,
    signature,
    signatureScheme: schemeOfAlgorithm(algorithm),
  });
}

/*
 * TBSCertificate ::= SEQUENCE {
 *   version [0] EXPLICIT Version DEFAULT v1, serialNumber INTEGER, signature AlgorithmIdentifier,
 *   issuer Name, validity SEQUENCE { notBefore Time, notAfter Time }, subject Name,
 *   subjectPublicKeyInfo SubjectPublicKeyInfo, issuerUniqueID [1] IMPLICIT BIT STRING OPTIONAL,
 *   subjectUniqueID [2] IMPLICIT BIT STRING OPTIONAL, extensions [3] EXPLICIT Extensions OPTIONAL }
 */
function readTbsCertificate(tbs: Uint8Array) {
  const reader = readWhole(tbs, (outer) => outer.enter(Tag.sequence));
  const version = readVersion(reader);
  const serialNumber = reader.integer();
  const signatureAlgorithm = reader.element(Tag.sequence);
  const issuer = readName(reader);
  const validity = reader.enter(Tag.sequence);
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.end();
  const subject = readName(reader);
  const publicKeyInfo = parsePublicKeyInfo(reader.element(Tag.sequence));
  for (const uniqueId of [Tag.context(1), Tag.context(2)]) {
    if (!reader.next(uniqueId)) continue;
    if (version === 1) throw new DerError('has a unique identifier in version 1');
    reader.content(uniqueId);
  }
  const extensions = readExtensions(reader, version);
  reader.end();
  return {
    version,
    serialNumber,
    signatureAlgorithm,
    issuer,
    notBefore,
    notAfter,
    subject,
    publicKeyInfo,
    extensions,
  };
}

function readVersion(reader: DerReader): 1 | 2 | 3 {
  const wrapper = reader.enterOptional(Tag.contextConstructed(0));
  if (wrapper === undefined) return 1;
  const value = wrapper.smallInteger();
  wrapper.end();
  if (value === 1) return 2;
  if (value === 2) return 3;
  throw new DerError('has an unknown version');
}

function readExtensions(reader: DerReader, version: number): CertificateExtensions {
  const wrapper = reader.enterOptional(Tag.contextConstructed(3));
  if (wrapper === undefined) return noExtensions;
  if (version !== 3) throw new DerError('has extensions but is not of version 3');
  const extensions = readCertificateExtensions(wrapper.enter(Tag.sequence));
  wrapper.end();
  return extensions;
}

function importPublicKey(certificate: Certificate): KeyObject {
  try {
    return importPublicKeyInfo(parsePublicKeyInfo(certificate.publicKeyInfo));
  } catch (error) {
    throw new CertificateError(
      'unsupported_certificate',
      'unsupported_public_key',
      `the public key of ${describeCertificate(certificate)} cannot be used`,
      { cause: error },
    );
  }
}

function malformed(problem: string, options?: ErrorOptions): CertificateError {
  return new CertificateError(
    'bad_certificate',
    'malformed_certificate',
    `a certificate ${problem}`,
    options,
  );
}

/** The TLS extension status_request, as a feature (RFC 7633 §4.1). */
const STATUS_REQUEST_FEATURE = 5;

/** Ten times a large real one; the engine allows a chain no more either. */
const MAX_CERTIFICATE_BYTES = 32 * 1024;
