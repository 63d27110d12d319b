import type { KeyObject } from 'node:crypto';
import { hash } from '../crypto/hash.ts';
import { type KeyKind, keyKindOf } from '../crypto/keys.ts';
import { randomBytes } from '../crypto/random.ts';
import type { Certificate } from './certificate.ts';
import * as der from './der-writer.ts';
import { emptyName } from './distinguished-name.ts';
import { type KeyUsage, keyUsageNames } from './extensions.ts';
import { encodeEachName, encodeGeneralNames, type GeneralNames } from './general-names.ts';
import { ExtendedKeyUsageOid, ExtensionOid } from './oids.ts';
import { parsePublicKeyInfo } from './public-key-info.ts';
import { algorithmOfScheme, defaultScheme, signIssued } from './signature-algorithm.ts';

/** Who signs. The key never leaves its `KeyObject`. */
export interface CertificateIssuer {
  /** Absent: the certificate is its own issuer, and `privateKey` belongs to its public key. */
  readonly certificate?: Certificate;
  readonly privateKey: KeyObject;
}

/** What a certificate is to say. Nothing is copied from a request but, by the caller, its key. */
export interface CertificateTemplate extends CertificateContent {
  readonly issuer: CertificateIssuer;
}

/** A certificate as far as it can be told without the issuer's key. */
export interface CertificateContent {
  /** DER name, see `encodeName`; absent: empty, which makes the alternative names critical. */
  readonly subject?: Uint8Array;
  readonly subjectAltNames?: Partial<GeneralNames>;
  readonly publicKey: KeyObject;
  /** Big-endian, positive, at most 20 bytes; absent: 16 random bytes. */
  readonly serialNumber?: Uint8Array;
  readonly notBefore: Date;
  /** Inclusive, to the second. */
  readonly notAfter: Date;
  readonly isCa?: boolean;
  /** How many intermediates may follow; CAs only. */
  readonly pathLength?: number;
  /** Absent: `keyCertSign` and `cRLSign` for a CA, `digitalSignature` otherwise. */
  readonly keyUsage?: readonly KeyUsage[];
  /** Names of `ExtendedKeyUsageOid` or dotted identifiers; absent or empty: no such extension. */
  readonly extendedKeyUsage?: readonly string[];
  /** Addresses are base and mask, 8 or 32 bytes. CAs only. */
  readonly nameConstraints?: {
    readonly permitted?: Partial<GeneralNames>;
    readonly excluded?: Partial<GeneralNames>;
  };
  /** Further extensions, encoded, such as those of `encodeDistribution`. */
  readonly extensions?: readonly Uint8Array[];
  /** TLS number; absent: by the issuer's key. */
  readonly signatureScheme?: number;
}

/**
 * Issues a certificate of version 3
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.2 | RFC 5280 §4.2}) with key identifiers,
 * basic constraints and key usage always present. Answers its DER, owned by the caller.
 *
 * Throws `RangeError` for a template that cannot be encoded, `TypeError` for keys we do not use.
 */
export function issueCertificate(template: CertificateTemplate): Uint8Array {
  const { issuer } = template;
  const scheme = template.signatureScheme ?? defaultScheme(usableKind(issuer.privateKey));
  const tbs = encodeToBeSigned(template, issuer.certificate, scheme);
  return joinSignature(tbs, scheme, signIssued(issuer.privateKey, scheme, tbs));
}

/**
 * The first half of {@link issueCertificate}, for keys that are elsewhere: what is to be signed under
 * `scheme` (TLS number). Without an issuer the certificate is its own. Throws as `issueCertificate`.
 */
export function encodeToBeSigned(
  content: CertificateContent,
  issuer: Certificate | undefined,
  scheme: number,
): Uint8Array {
  const { publicKey, subject = emptyName } = content;
  const publicKeyInfo = exportPublicKeyInfo(publicKey);
  if (!(content.notBefore.getTime() <= content.notAfter.getTime())) {
    throw new RangeError('a certificate ends before it begins');
  }
  return encodeTbs(
    {
      serialNumber: content.serialNumber ?? generateSerialNumber(),
      issuer: issuer?.subject ?? subject,
      notBefore: content.notBefore,
      notAfter: content.notAfter,
      subject,
      publicKeyInfo,
      extensions: [
        ...constraintExtensions(content),
        ...nameExtensions(content, subject),
        ...keyIdExtensions(issuer, publicKeyInfo),
        ...(content.extensions ?? []),
      ],
    },
    algorithmOfScheme(scheme),
  );
}

/** The second half: what was to be signed, its algorithm, and the signature. Also for CRLs and requests. */
export function joinSignature(
  toBeSigned: Uint8Array,
  scheme: number,
  signature: Uint8Array,
): Uint8Array {
  return der.sequence(toBeSigned, algorithmOfScheme(scheme), der.bitString(signature));
}

/** A positive serial number of 16 bytes, 126 of its bits random (CA/B BR 7.1 asks for 64). */
export function generateSerialNumber(): Uint8Array {
  const serial = randomBytes(16);
  // Neither negative nor shorter than the others.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/** The fields of a certificate, with extensions as they are: no rule is applied. */
export interface RawCertificate {
  readonly serialNumber: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subject: Uint8Array;
  readonly publicKeyInfo: Uint8Array;
  readonly extensions: readonly Uint8Array[];
}

/** Encodes and signs. */
export function assembleCertificate(
  fields: RawCertificate,
  scheme: number,
  issuerKey: KeyObject,
): Uint8Array {
  const tbs = encodeTbs(fields, algorithmOfScheme(scheme));
  return joinSignature(tbs, scheme, signIssued(issuerKey, scheme, tbs));
}

/** The part of a certificate's content that says what its key may be used for. */
export type ConstraintContent = Pick<
  CertificateContent,
  'isCa' | 'pathLength' | 'nameConstraints' | 'extendedKeyUsage' | 'keyUsage'
>;

/** One `Extension`. */
export function encodeExtension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return der.sequence(
    der.objectIdentifier(oid),
    ...(critical ? [der.boolean(true)] : []),
    der.octetString(value),
  );
}

/**
 * Key identifier of a DER `SubjectPublicKeyInfo`: the first 160 bits of SHA-256 over the key bits
 * ({@link https://www.rfc-editor.org/rfc/rfc7093#section-2 | RFC 7093 §2}, method 1).
 */
export function keyIdentifier(publicKeyInfo: Uint8Array): Uint8Array {
  return hash('sha256', parsePublicKeyInfo(publicKeyInfo).keyBits).slice(0, 20);
}

/** The value of an authority key identifier extension. */
export function encodeAuthorityKeyId(keyId: Uint8Array): Uint8Array {
  return der.sequence(der.implicit(0, keyId));
}

/** DER `SubjectPublicKeyInfo` of a public key of a kind we use. */
export function exportPublicKeyInfo(publicKey: KeyObject): Uint8Array {
  usableKind(publicKey);
  if (publicKey.type !== 'public') throw new TypeError('not a public key');
  return publicKey.export({ type: 'spki', format: 'der' });
}

/** Kind of a key, or `TypeError`. */
export function usableKind(key: KeyObject): KeyKind {
  const kind = keyKindOf(key);
  if (kind === undefined) throw new TypeError('neither ECDSA P-256, P-384, Ed25519 nor RSA');
  return kind;
}

function encodeTbs(fields: RawCertificate, algorithm: Uint8Array): Uint8Array {
  checkSerialNumber(fields.serialNumber);
  return der.sequence(
    der.explicit(0, der.integer(2)),
    der.unsignedInteger(fields.serialNumber),
    algorithm,
    fields.issuer,
    der.sequence(der.time(fields.notBefore), der.time(fields.notAfter)),
    fields.subject,
    fields.publicKeyInfo,
    ...(fields.extensions.length > 0 ? [der.explicit(3, der.sequence(...fields.extensions))] : []),
  );
}

/** Throws `RangeError` for what cannot be a serial number (RFC 5280 §4.1.2.2). */
export function checkSerialNumber(serialNumber: Uint8Array): void {
  if (serialNumber.length > 20 || !serialNumber.some((byte) => byte !== 0)) {
    throw new RangeError('a serial number is positive and at most 20 bytes long');
  }
}

export function constraintExtensions(template: ConstraintContent): Uint8Array[] {
  const { isCa = false, pathLength, nameConstraints, extendedKeyUsage = [] } = template;
  if (!isCa && (pathLength !== undefined || nameConstraints !== undefined)) {
    throw new RangeError('path length and name constraints are for CAs');
  }
  const usage = template.keyUsage ?? (isCa ? ['keyCertSign', 'cRLSign'] : ['digitalSignature']);
  const extensions = [
    encodeExtension(
      ExtensionOid.basicConstraints,
      true,
      der.sequence(
        ...(isCa ? [der.boolean(true)] : []),
        ...(pathLength === undefined ? [] : [der.integer(pathLength)]),
      ),
    ),
  ];
  if (usage.length > 0) {
    const bits = usage.map((name) => keyUsageNames.indexOf(name));
    extensions.push(encodeExtension(ExtensionOid.keyUsage, true, der.namedBits(bits)));
  }
  if (extendedKeyUsage.length > 0) {
    const oids = extendedKeyUsage.map((usageName) => der.objectIdentifier(usageOid(usageName)));
    extensions.push(encodeExtension(ExtensionOid.extendedKeyUsage, false, der.sequence(...oids)));
  }
  if (nameConstraints !== undefined) {
    extensions.push(
      encodeExtension(ExtensionOid.nameConstraints, true, encodeNameConstraints(nameConstraints)),
    );
  }
  return extensions;
}

export function nameExtensions(
  template: Pick<CertificateContent, 'subjectAltNames'>,
  subject: Uint8Array,
): Uint8Array[] {
  const { subjectAltNames } = template;
  if (subjectAltNames === undefined) {
    if (subject.length === emptyName.length) throw new RangeError('a certificate without any name');
    return [];
  }
  // RFC 5280 §4.2.1.6: critical when it is the only name.
  const critical = subject.length === emptyName.length;
  return [
    encodeExtension(ExtensionOid.subjectAltName, critical, encodeGeneralNames(subjectAltNames)),
  ];
}

function keyIdExtensions(issuer: Certificate | undefined, publicKeyInfo: Uint8Array): Uint8Array[] {
  const ownId = keyIdentifier(publicKeyInfo);
  return [
    encodeSubjectKeyId(ownId),
    encodeAuthorityKeyIdExtension(issuer === undefined ? ownId : keyIdentifierOf(issuer)),
  ];
}

/** The key identifier of a CA, as those it signs refer to it. */
export function keyIdentifierOf(issuer: Certificate): Uint8Array {
  return issuer.subjectKeyId ?? keyIdentifier(issuer.publicKeyInfo);
}

/** Extensions of key identifiers. */
export function encodeSubjectKeyId(keyId: Uint8Array): Uint8Array {
  return encodeExtension(ExtensionOid.subjectKeyIdentifier, false, der.octetString(keyId));
}

export function encodeAuthorityKeyIdExtension(keyId: Uint8Array): Uint8Array {
  return encodeExtension(ExtensionOid.authorityKeyIdentifier, false, encodeAuthorityKeyId(keyId));
}

function encodeNameConstraints(
  constraints: NonNullable<CertificateContent['nameConstraints']>,
): Uint8Array {
  const subtrees = (number: number, names: Partial<GeneralNames> | undefined) => {
    if (names === undefined) return [];
    const bases = encodeEachName(names, [8, 32]);
    return [der.explicit(number, ...bases.map((base) => der.sequence(base)))];
  };
  return der.sequence(...subtrees(0, constraints.permitted), ...subtrees(1, constraints.excluded));
}

function usageOid(name: string): string {
  const oid = Object.entries(ExtendedKeyUsageOid).find(([known]) => known === name);
  return oid?.[1] ?? name;
}
