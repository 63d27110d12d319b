import type { KeyObject } from 'node:crypto';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-generation.ts';
import { type KeyKind, keyKindOf } from '../../src/crypto/keys.ts';
import { type Certificate, parseCertificate } from '../../src/pki/certificate.ts';
import { DerReader, Tag } from '../../src/pki/der.ts';
import * as der from '../../src/pki/der-writer.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import { type KeyUsage, keyUsageNames } from '../../src/pki/extensions.ts';
import { encodeGeneralNames, type GeneralNames } from '../../src/pki/general-names.ts';
import {
  assembleCertificate,
  encodeAuthorityKeyId,
  encodeExtension,
  exportPublicKeyInfo,
  keyIdentifier,
} from '../../src/pki/issue-certificate.ts';
import { ExtendedKeyUsageOid, ExtensionOid } from '../../src/pki/oids.ts';
import { defaultScheme } from '../../src/pki/signature-algorithm.ts';

/** A certificate made field by field, also wrongly, for tests of those who judge it. */
export interface RawIssued {
  readonly der: Uint8Array;
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface RawOptions {
  /** Common name, or a DER name. */
  readonly subject?: string | Uint8Array;
  /** Absent: self-signed. */
  readonly issuer?: RawIssued;
  /** DER name; absent: the issuer's subject. */
  readonly issuerName?: Uint8Array;
  /** Replaces all extensions of the role. */
  readonly extensions?: readonly Uint8Array[];
  /** Besides those of the role. */
  readonly more?: readonly Uint8Array[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly serialNumber?: Uint8Array;
  readonly keyKind?: KeyKind;
  readonly keys?: KeyPair;
  readonly scheme?: number;
}

/** The moment tests verify at; certificates are valid a day before and after it. */
export const testNow = new Date('2030-06-15T12:00:00Z');

export function rawLeaf(issuer: RawIssued, options: RawOptions = {}): RawIssued {
  const extensions = [
    basicConstraints({}),
    keyUsage(['digitalSignature']),
    extendedKeyUsage(['serverAuth', 'clientAuth']),
    subjectAltNames({ dnsNames: ['leaf.test'] }),
  ];
  return rawCertificate({ subject: 'leaf', issuer, extensions, ...options });
}

export function rawCa(options: RawOptions & { readonly pathLength?: number } = {}): RawIssued {
  const extensions = [
    basicConstraints({
      isCa: true,
      ...(options.pathLength === undefined ? {} : { pathLength: options.pathLength }),
    }),
    keyUsage(['keyCertSign', 'cRLSign']),
  ];
  return rawCertificate({ subject: 'ca', extensions, ...options });
}

export function rawCertificate(options: RawOptions): RawIssued {
  const keys = options.keys ?? generateKeyPair(options.keyKind ?? 'ecdsa-p256');
  const { subject = 'someone' } = options;
  const subjectName = typeof subject === 'string' ? encodeName({ commonName: subject }) : subject;
  const issuer = options.issuer ?? { privateKey: keys.privateKey, publicKey: keys.publicKey };
  const issuerName = options.issuer?.certificate.subject ?? subjectName;
  const kind = keyKindOf(issuer.privateKey);
  if (kind === undefined) throw new TypeError('unsuitable key');
  const encoded = assembleCertificate(
    {
      serialNumber: options.serialNumber ?? Uint8Array.of(1, 2, 3),
      issuer: options.issuerName ?? issuerName,
      notBefore: options.notBefore ?? new Date(testNow.getTime() - DAY),
      notAfter: options.notAfter ?? new Date(testNow.getTime() + DAY),
      subject: subjectName,
      publicKeyInfo: keys.publicKey.export({ type: 'spki', format: 'der' }),
      extensions: [...(options.extensions ?? []), ...(options.more ?? [])],
    },
    options.scheme ?? defaultScheme(kind),
    issuer.privateKey,
  );
  return { ...keys, der: encoded, certificate: parseCertificate(encoded) };
}

/** The same certificate under another signature. */
export function signedAnew(
  issued: RawIssued,
  algorithm: Uint8Array,
  sign: (tbs: Uint8Array) => Uint8Array,
): RawIssued {
  const fields = new DerReader(issued.certificate.tbs).enter(Tag.sequence);
  const version = fields.element(Tag.contextConstructed(0));
  const serialNumber = fields.element(Tag.integer);
  fields.skip();
  const rest: Uint8Array[] = [];
  while (!fields.done) rest.push(fields.any().element);
  const tbs = der.sequence(version, serialNumber, algorithm, ...rest);
  const encoded = der.sequence(tbs, algorithm, der.bitString(sign(tbs)));
  return { ...issued, der: encoded, certificate: parseCertificate(encoded) };
}

export function basicConstraints(options: {
  readonly isCa?: boolean;
  readonly pathLength?: number;
  readonly critical?: boolean;
}): Uint8Array {
  const { isCa = false, pathLength, critical = true } = options;
  const value = der.sequence(
    ...(isCa ? [der.boolean(true)] : []),
    ...(pathLength === undefined ? [] : [der.integer(pathLength)]),
  );
  return encodeExtension(ExtensionOid.basicConstraints, critical, value);
}

export function keyUsage(names: readonly KeyUsage[]): Uint8Array {
  const bits = names.map((name) => keyUsageNames.indexOf(name));
  return encodeExtension(ExtensionOid.keyUsage, true, der.namedBits(bits));
}

export function extendedKeyUsage(names: readonly (keyof typeof ExtendedKeyUsageOid)[]): Uint8Array {
  const oids = names.map((name) => der.objectIdentifier(ExtendedKeyUsageOid[name]));
  return encodeExtension(ExtensionOid.extendedKeyUsage, false, der.sequence(...oids));
}

export function subjectAltNames(names: Partial<GeneralNames>, critical = false): Uint8Array {
  return encodeExtension(ExtensionOid.subjectAltName, critical, encodeGeneralNames(names));
}

export function subjectKeyId(issued: RawIssued | KeyPair): Uint8Array {
  const id = keyIdentifier(exportPublicKeyInfo(issued.publicKey));
  return encodeExtension(ExtensionOid.subjectKeyIdentifier, false, der.octetString(id));
}

export function authorityKeyId(issuer: RawIssued | KeyPair): Uint8Array {
  const id = keyIdentifier(exportPublicKeyInfo(issuer.publicKey));
  return encodeExtension(ExtensionOid.authorityKeyIdentifier, false, encodeAuthorityKeyId(id));
}

const DAY = 86_400_000;
