import { DerError, type DerReader, readWhole, Tag } from './der.ts';
import { type GeneralNames, readGeneralName, readGeneralNames } from './general-names.ts';
import { dottedOid, ExtendedKeyUsageOid, ExtensionOid, oidKey } from './oids.ts';

/** RFC 5280 §4.2.1.3, by bit number. */
export const keyUsageNames = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsage = (typeof keyUsageNames)[number];

/** RFC 5280 §4.2.1.9. */
export interface BasicConstraints {
  readonly isCa: boolean;
  readonly pathLength: number | undefined;
  readonly critical: boolean;
}

/** RFC 5280 §4.2.1.10: base names of the subtrees; `minimum` and `maximum` are refused. */
export interface NameConstraints {
  readonly permitted: GeneralNames | undefined;
  readonly excluded: GeneralNames | undefined;
}

/** What the extensions of a certificate say. Absent extensions are `undefined`. */
export interface CertificateExtensions {
  readonly subjectAltNames: GeneralNames | undefined;
  readonly subjectAltNamesCritical: boolean;
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: readonly KeyUsage[] | undefined;
  /** Names of `ExtendedKeyUsageOid`, or dotted identifiers of others. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  /** TLS extensions a server of this certificate has to answer (RFC 7633 §4.1); absent: none. */
  readonly tlsFeatures: readonly number[] | undefined;
  /** Dotted identifiers of what a verifier must process and we do not: they refuse a path. */
  readonly unhandled: readonly string[];
}

/** The extensions of a certificate without any. */
export const noExtensions: CertificateExtensions = {
  subjectAltNames: undefined,
  subjectAltNamesCritical: false,
  basicConstraints: undefined,
  keyUsage: undefined,
  extendedKeyUsage: undefined,
  nameConstraints: undefined,
  authorityKeyId: undefined,
  subjectKeyId: undefined,
  tlsFeatures: undefined,
  unhandled: [],
};

/** One extension as encoded (RFC 5280 §4.1.2.9); `oid` is a table key. */
export interface RawExtension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/**
 * The elements of an `Extensions` value: not empty, at most {@link MAX_EXTENSIONS}, each at most once
 * (RFC 5280 §4.2). Throws `DerError`.
 */
export function readRawExtensions(list: DerReader): readonly RawExtension[] {
  /* Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
  const extensions: RawExtension[] = [];
  do {
    const reader = list.enter(Tag.sequence);
    const oid = reader.objectIdentifier();
    let critical = false;
    if (reader.next(Tag.boolean)) {
      critical = reader.boolean();
      if (!critical) throw new DerError('encodes the default of an extension');
    }
    const value = reader.content(Tag.octetString);
    reader.end();
    if (extensions.some((other) => other.oid === oid)) {
      throw new DerError(`has extension ${dottedOid(oid)} twice`);
    }
    extensions.push({ oid, critical, value });
    if (extensions.length > MAX_EXTENSIONS) throw new DerError('has too many extensions');
  } while (!list.done);
  return extensions;
}

/** Reads the extensions of a certificate. Throws `DerError`. */
export function readCertificateExtensions(list: DerReader): CertificateExtensions {
  const result: Mutable<CertificateExtensions> = { ...noExtensions };
  const unhandled: string[] = [];
  for (const extension of readRawExtensions(list)) {
    if (!readExtension(extension, result)) unhandled.push(dottedOid(extension.oid));
  }
  result.unhandled = unhandled;
  return result;
}

/** Takes one extension into `result`; answers whether a verifier of ours may go on. */
function readExtension(extension: RawExtension, result: Mutable<CertificateExtensions>): boolean {
  const { oid, critical, value } = extension;
  switch (oid) {
    case keys.subjectAltName:
      result.subjectAltNames = readWhole(value, (reader) =>
        readGeneralNames(reader.enter(Tag.sequence)),
      );
      result.subjectAltNamesCritical = critical;
      return true;
    case keys.basicConstraints:
      result.basicConstraints = readBasicConstraints(value, critical);
      return true;
    case keys.keyUsage:
      result.keyUsage = readKeyUsage(value);
      return true;
    case keys.extendedKeyUsage:
      result.extendedKeyUsage = readExtendedKeyUsage(value);
      return true;
    case keys.nameConstraints:
      result.nameConstraints = readNameConstraints(value);
      return true;
    case keys.authorityKeyIdentifier:
      result.authorityKeyId = readAuthorityKeyId(value);
      // RFC 5280 §4.2.1.1: conforming CAs mark it non-critical.
      return !critical;
    case keys.subjectKeyIdentifier:
      result.subjectKeyId = readWhole(value, (reader) => reader.content(Tag.octetString));
      return !critical;
    case keys.authorityInfoAccess:
      checkAuthorityInfoAccess(value);
      return !critical;
    case keys.tlsFeature:
      result.tlsFeatures = readTlsFeatures(value);
      // RFC 7633 §4 advises against critical, and we see to status_request alone.
      return !critical;
    case keys.certificatePolicies:
      // Informational: with any-policy as the initial set and no policy constraints above, which
      // are refused, RFC 5280 §6.1 accepts whatever they say.
      return true;
    case keys.policyConstraints:
      // Asks for the policy tree of §6.1.2, which we do not keep; §4.2.1.11 makes it critical always.
      return false;
    default:
      return !critical;
  }
}

/* BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } */
function readBasicConstraints(value: Uint8Array, critical: boolean): BasicConstraints {
  const reader = readWhole(value, (outer) => outer.enter(Tag.sequence));
  let isCa = false;
  if (reader.next(Tag.boolean)) {
    isCa = reader.boolean();
    if (!isCa) throw new DerError('encodes the default of cA');
  }
  const pathLength = reader.next(Tag.integer) ? reader.smallInteger() : undefined;
  reader.end();
  return { isCa, pathLength, critical };
}

function readKeyUsage(value: Uint8Array): readonly KeyUsage[] {
  const mask = readWhole(value, (reader) => reader.namedBits());
  // RFC 5280 §4.2.1.3: at least one bit; bits we have no name for mean nothing to us.
  if (mask === 0) throw new DerError('has a key usage without any bit');
  return keyUsageNames.filter((_name, bit) => (mask & (1 << bit)) !== 0);
}

/* ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF KeyPurposeId */
function readExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const reader = readWhole(value, (outer) => outer.enter(Tag.sequence));
  const usages: string[] = [];
  do {
    const oid = reader.objectIdentifier();
    usages.push(extendedKeyUsages.get(oid) ?? dottedOid(oid));
  } while (!reader.done);
  return usages;
}

/*
 * NameConstraints ::= SEQUENCE { permittedSubtrees [0] GeneralSubtrees OPTIONAL, excludedSubtrees [1] GeneralSubtrees OPTIONAL }
 * GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] BaseDistance DEFAULT 0, maximum [1] BaseDistance OPTIONAL }
 */
function readNameConstraints(value: Uint8Array): NameConstraints {
  const reader = readWhole(value, (outer) => outer.enter(Tag.sequence));
  const permitted = readSubtrees(reader.enterOptional(Tag.contextConstructed(0)));
  const excluded = readSubtrees(reader.enterOptional(Tag.contextConstructed(1)));
  reader.end();
  if (permitted === undefined && excluded === undefined) {
    throw new DerError('has empty name constraints');
  }
  return { permitted, excluded };
}

function readSubtrees(reader: DerReader | undefined): GeneralNames | undefined {
  if (reader === undefined) return undefined;
  const names = {
    dnsNames: [],
    ipAddresses: [],
    uris: [],
    emailAddresses: [],
    directoryNames: [],
    others: [],
  };
  do {
    const subtree = reader.enter(Tag.sequence);
    readGeneralName(subtree, names);
    // RFC 5280 §4.2.1.10: minimum is 0, which DER does not encode, and maximum is absent.
    subtree.end();
  } while (!reader.done);
  return names;
}

/*
 * AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OCTET STRING OPTIONAL,
 *   authorityCertIssuer [1] GeneralNames OPTIONAL, authorityCertSerialNumber [2] INTEGER OPTIONAL }
 */
function readAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const reader = readWhole(value, (outer) => outer.enter(Tag.sequence));
  const id = reader.next(Tag.context(0)) ? reader.content(Tag.context(0)) : undefined;
  const hasIssuer = reader.next(Tag.contextConstructed(1));
  if (hasIssuer) readGeneralNames(reader.enter(Tag.contextConstructed(1)));
  const hasSerial = reader.next(Tag.context(2));
  if (hasSerial) reader.content(Tag.context(2));
  reader.end();
  if (hasIssuer !== hasSerial) throw new DerError('has half an authority key identifier');
  return id;
}

/* AuthorityInfoAccessSyntax ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { accessMethod OBJECT IDENTIFIER, accessLocation GeneralName } */
function checkAuthorityInfoAccess(value: Uint8Array): void {
  const list = readWhole(value, (outer) => outer.enter(Tag.sequence));
  do {
    const description = list.enter(Tag.sequence);
    description.objectIdentifier();
    description.any();
    description.end();
  } while (!list.done);
}

/* Features ::= SEQUENCE OF INTEGER */
function readTlsFeatures(value: Uint8Array): readonly number[] {
  const reader = readWhole(value, (outer) => outer.enter(Tag.sequence));
  const features: number[] = [];
  while (!reader.done) features.push(reader.smallInteger());
  return features;
}

type Mutable<Fields> = { -readonly [Key in keyof Fields]: Fields[Key] };

/** More than any real certificate has; bounds the check for duplicates. */
const MAX_EXTENSIONS = 32;

const keys = {
  subjectAltName: oidKey(ExtensionOid.subjectAltName),
  basicConstraints: oidKey(ExtensionOid.basicConstraints),
  keyUsage: oidKey(ExtensionOid.keyUsage),
  extendedKeyUsage: oidKey(ExtensionOid.extendedKeyUsage),
  nameConstraints: oidKey(ExtensionOid.nameConstraints),
  authorityKeyIdentifier: oidKey(ExtensionOid.authorityKeyIdentifier),
  subjectKeyIdentifier: oidKey(ExtensionOid.subjectKeyIdentifier),
  authorityInfoAccess: oidKey(ExtensionOid.authorityInfoAccess),
  tlsFeature: oidKey(ExtensionOid.tlsFeature),
  certificatePolicies: oidKey(ExtensionOid.certificatePolicies),
  policyConstraints: oidKey(ExtensionOid.policyConstraints),
} as const;

const extendedKeyUsages = new Map<string, string>(
  Object.entries(ExtendedKeyUsageOid).map(([name, dotted]) => [oidKey(dotted), name]),
);
