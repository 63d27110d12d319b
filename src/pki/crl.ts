import { equal } from '../bytes/bytes.ts';
import { CertificateError } from './certificate-error.ts';
import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import { implicit, sequence } from './der-writer.ts';
import { describeName, relativeNames } from './distinguished-name.ts';
import { type RawExtension, readRawExtensions } from './extensions.ts';
import { dottedOid, ExtensionOid, oidKey } from './oids.ts';
import { schemeOfAlgorithm } from './signature-algorithm.ts';
import { latin1 } from './trust-anchors.ts';

/** Why a certificate was revoked (RFC 5280 §5.3.1), by number. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;
export type RevocationReason = keyof typeof revocationReasons;

/** The reason in an ENUMERATED's content octets. Throws `DerError` for one not in the table. */
export function revocationReasonOf(content: Uint8Array): RevocationReason {
  const known = content.length === 1 ? reasonNames.get(content[0] ?? -1) : undefined;
  if (known === undefined) throw new DerError('has an unknown revocation reason');
  return known;
}

export interface RevokedCertificate {
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

/** A complete CRL of the CA that signed it. Bytes are views of the input. */
export interface Crl {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly signatureScheme: number;
  readonly signature: Uint8Array;
  /** DER name. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Content octets of the INTEGER; grows with each CRL of an issuer. */
  readonly crlNumber: Uint8Array;
  /** What it speaks about. */
  readonly scope: 'all' | 'leaves' | 'cas';
  readonly revokedCount: number;
  /** The entry for a certificate's serial number (content octets). */
  revoked(serialNumber: Uint8Array): RevokedCertificate | undefined;
}

/**
 * Parses a DER CRL of version 2
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-5.1 | RFC 5280 §5.1}): complete, direct, with CRL
 * number and next update. Delta and indirect CRLs, those for one distribution point or some reasons,
 * and unknown critical extensions are refused, as using them would miss revocations. The signature is
 * not verified here. Keeps views of `der`.
 *
 * Throws `CertificateError` (`malformed_crl`, `unsupported_crl`).
 */
export function parseCrl(der: Uint8Array): Crl {
  if (der.length > MAX_CRL_BYTES) throw malformed(`is longer than ${String(MAX_CRL_BYTES)} bytes`);
  try {
    return readCrl(der);
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message, { cause: error });
    throw error;
  }
}

/* CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING } */
function readCrl(der: Uint8Array): Crl {
  const outer = readWhole(der, (reader) => reader.enter(Tag.sequence));
  const tbs = outer.element(Tag.sequence);
  const algorithm = outer.element(Tag.sequence);
  const signature = outer.wholeBytes();
  outer.end();
  const signatureScheme = schemeOfAlgorithm(algorithm);
  if (signatureScheme === undefined) {
    throw unsupported('is signed with an algorithm we do not accept');
  }
  const { signatureAlgorithm, entries, ...fields } = readTbsCertList(tbs);
  if (!equal(signatureAlgorithm, algorithm)) {
    throw new DerError('names two different signature algorithms');
  }
  return {
    ...fields,
    der,
    tbs,
    signature,
    signatureScheme,
    revokedCount: entries.size,
    revoked: (serialNumber) => entries.get(latin1(serialNumber)),
  };
}

/*
 * TBSCertList ::= SEQUENCE {
 *   version Version OPTIONAL, signature AlgorithmIdentifier, issuer Name, thisUpdate Time, nextUpdate Time OPTIONAL,
 *   revokedCertificates SEQUENCE OF SEQUENCE { userCertificate CertificateSerialNumber, revocationDate Time,
 *     crlEntryExtensions Extensions OPTIONAL } OPTIONAL,
 *   crlExtensions [0] EXPLICIT Extensions OPTIONAL }
 */
function readTbsCertList(tbs: Uint8Array) {
  const reader = readWhole(tbs, (outer) => outer.enter(Tag.sequence));
  if (!reader.next(Tag.integer)) throw unsupported('is of version 1');
  if (reader.smallInteger() !== 1) throw new DerError('has an unknown version');
  const signatureAlgorithm = reader.element(Tag.sequence);
  const issuer = reader.element(Tag.sequence);
  if (relativeNames(issuer).length === 0) throw new DerError('has no issuer');
  const thisUpdate = reader.time();
  if (!reader.next(Tag.utcTime) && !reader.next(Tag.generalizedTime)) {
    throw unsupported(`of ${describeName(issuer)} has no next update`);
  }
  const nextUpdate = reader.time();
  const entries = readEntries(reader.enterOptional(Tag.sequence));
  const wrapper = reader.enterOptional(Tag.contextConstructed(0));
  if (wrapper === undefined) throw unsupported(`of ${describeName(issuer)} has no CRL number`);
  const { crlNumber, scope } = readCrlExtensions(wrapper.enter(Tag.sequence));
  wrapper.end();
  reader.end();
  return { signatureAlgorithm, issuer, thisUpdate, nextUpdate, entries, crlNumber, scope };
}

function readEntries(list: DerReader | undefined): ReadonlyMap<string, RevokedCertificate> {
  const entries = new Map<string, RevokedCertificate>();
  while (list?.done === false) {
    const entry = list.enter(Tag.sequence);
    const serialNumber = latin1(entry.integer());
    const revokedAt = entry.time();
    const extensions = entry.enterOptional(Tag.sequence);
    entry.end();
    const reason = extensions === undefined ? 'unspecified' : readReason(extensions);
    entries.set(serialNumber, { revokedAt, reason });
  }
  return entries;
}

function readReason(list: DerReader): RevocationReason {
  let reason: RevocationReason = 'unspecified';
  for (const { oid, critical, value } of readRawExtensions(list)) {
    if (oid === keys.reasonCode) {
      const content = readWhole(value, (reader) => reader.content(Tag.enumerated));
      reason = revocationReasonOf(content);
    } else if (critical) {
      // RFC 5280 §5.3: such a CRL must not be used to determine the status of certificates.
      throw unsupported(`has the critical entry extension ${dottedOid(oid)}`);
    }
  }
  return reason;
}

function readCrlExtensions(list: DerReader): {
  readonly crlNumber: Uint8Array;
  readonly scope: Crl['scope'];
} {
  let crlNumber: Uint8Array | undefined;
  let scope: Crl['scope'] = 'all';
  for (const extension of readRawExtensions(list)) {
    if (extension.oid === keys.crlNumber) crlNumber = readCrlNumber(extension);
    else if (extension.oid === keys.issuingDistributionPoint) scope = readScope(extension.value);
    else if (extension.critical) {
      throw unsupported(`has the critical extension ${dottedOid(extension.oid)}`);
    }
  }
  if (crlNumber === undefined) throw unsupported('has no CRL number');
  return { crlNumber, scope };
}

function readCrlNumber({ critical, value }: RawExtension): Uint8Array {
  const number = readWhole(value, (reader) => reader.integer());
  // RFC 5280 §5.2.3.
  if (critical || (number[0] ?? 0) >= 0x80 || number.length > 20) {
    throw new DerError('has an improper CRL number');
  }
  return number;
}

/*
 * IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0] OPTIONAL, onlyContainsUserCerts [1] BOOLEAN DEFAULT FALSE,
 *   onlyContainsCACerts [2] BOOLEAN DEFAULT FALSE, onlySomeReasons [3] OPTIONAL, indirectCRL [4] BOOLEAN DEFAULT FALSE,
 *   onlyContainsAttributeCerts [5] BOOLEAN DEFAULT FALSE }
 */
function readScope(value: Uint8Array): Crl['scope'] {
  if (equal(value, onlyUserCertificates)) return 'leaves';
  if (equal(value, onlyCaCertificates)) return 'cas';
  throw unsupported('is for a part of the certificates only');
}

function malformed(problem: string, options?: ErrorOptions): CertificateError {
  return new CertificateError('unknown_ca', 'malformed_crl', `a CRL ${problem}`, options);
}

function unsupported(problem: string): CertificateError {
  return new CertificateError('unknown_ca', 'unsupported_crl', `a CRL ${problem}`);
}

/** A hundred thousand revocations take about 4 MB. */
const MAX_CRL_BYTES = 32 * 1024 * 1024;

const keys = {
  crlNumber: oidKey(ExtensionOid.crlNumber),
  issuingDistributionPoint: oidKey(ExtensionOid.issuingDistributionPoint),
  reasonCode: oidKey(ExtensionOid.reasonCode),
} as const;

/** One BOOLEAN, which is then all the extension says. */
const onlyUserCertificates = sequence(implicit(1, Uint8Array.of(0xff)));
const onlyCaCertificates = sequence(implicit(2, Uint8Array.of(0xff)));

const reasonNames: ReadonlyMap<number, RevocationReason> = new Map(
  Object.keys(revocationReasons)
    .filter((name): name is RevocationReason => name in revocationReasons)
    .map((name) => [revocationReasons[name], name]),
);
