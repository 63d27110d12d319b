import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyObject } from 'node:crypto';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-generation.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { type Certificate, parseCertificate } from '../../src/pki/certificate.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import type { KeyUsage } from '../../src/pki/extensions.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { encodePem } from '../../src/pki/pem.ts';
import { exportPkcs8Pem } from '../../src/pki/private-key.ts';

/** A throw-away CA for tests: everything it issues is valid now, for an hour before and a day after. */
export interface TestCa {
  /** DER of the self-signed root. */
  readonly certificate: Uint8Array;
  readonly parsed: Certificate;
  readonly privateKey: KeyObject;
  readonly pem: Buffer;
  issue(options?: IssueOptions): IssuedIdentity;
}

export interface IssueOptions {
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  /** Text form, IPv4 or IPv6. */
  readonly ipAddresses?: readonly string[];
  readonly commonName?: string;
  readonly keyKind?: KeyKind;
  /** Use this key pair instead of a fresh one. */
  readonly keyPair?: KeyPair;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Issue through an intermediate CA, which the chain then contains. */
  readonly intermediate?: boolean;
  /** Absent: both serverAuth and clientAuth. */
  readonly eku?: readonly string[];
  /** Absent: digitalSignature. */
  readonly keyUsage?: readonly KeyUsage[];
}

export interface IssuedIdentity {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly certificatePem: Buffer;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly privateKeyPem: Buffer;
}

export function createTestCa(
  options: { readonly name?: string; readonly keyKind?: KeyKind } = {},
): TestCa {
  const { name = 'Test Root', keyKind = 'ecdsa-p256' } = options;
  const keys = testKeyPair(keyKind, 0);
  const certificate = issueCertificate({
    subject: encodeName({ commonName: name }),
    publicKey: keys.publicKey,
    issuer: { privateKey: keys.privateKey },
    ...validity(),
    isCa: true,
  });
  const root = { certificate: parseCertificate(certificate), privateKey: keys.privateKey };
  let intermediate: typeof root | undefined;
  return {
    certificate,
    parsed: root.certificate,
    privateKey: keys.privateKey,
    pem: toPem([certificate]),
    issue(request = {}) {
      if (request.intermediate !== true) return issueLeaf(root, request, []);
      intermediate ??= issueIntermediate(root, name, keyKind);
      return issueLeaf(intermediate, request, [intermediate.certificate.der]);
    },
  };
}

/** Writes `<name>.pem` and `<name>.key` (0600) into a directory and answers their paths. */
export function writeIdentity(
  directory: string,
  name: string,
  issued: IssuedIdentity,
): { readonly certificate: string; readonly privateKey: string } {
  mkdirSync(directory, { recursive: true });
  const certificate = join(directory, `${name}.pem`);
  const privateKey = join(directory, `${name}.key`);
  writeFileSync(certificate, issued.certificatePem);
  writeFileSync(privateKey, issued.privateKeyPem, { mode: 0o600 });
  return { certificate, privateKey };
}

/** PEM of certificates, one after the other. */
export function toPem(certificates: readonly Uint8Array[]): Buffer {
  return Buffer.concat(certificates.map((der) => encodePem('CERTIFICATE', der)));
}

interface Signer {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

function issueIntermediate(root: Signer, name: string, keyKind: KeyKind): Signer {
  const keys = testKeyPair(keyKind, 1);
  const certificate = issueCertificate({
    subject: encodeName({ commonName: `${name} Intermediate` }),
    publicKey: keys.publicKey,
    issuer: root,
    ...validity(),
    isCa: true,
    pathLength: 0,
  });
  return { certificate: parseCertificate(certificate), privateKey: keys.privateKey };
}

function issueLeaf(
  issuer: Signer,
  options: IssueOptions,
  above: readonly Uint8Array[],
): IssuedIdentity {
  const { dnsNames = [], uris = [], ipAddresses = [], keyKind = 'ecdsa-p256' } = options;
  const names = [...dnsNames, ...uris, ...ipAddresses];
  const commonName = options.commonName ?? (names.length === 0 ? 'test leaf' : undefined);
  const keys = options.keyPair ?? testKeyPair(keyKind, 2);
  const leaf = issueCertificate({
    ...(commonName === undefined ? {} : { subject: encodeName({ commonName }) }),
    ...(names.length === 0
      ? {}
      : { subjectAltNames: { dnsNames, uris, ipAddresses: ipAddresses.map(addressBytes) } }),
    publicKey: keys.publicKey,
    issuer,
    ...validity(),
    ...(options.notBefore === undefined ? {} : { notBefore: options.notBefore }),
    ...(options.notAfter === undefined ? {} : { notAfter: options.notAfter }),
    ...(options.keyUsage === undefined ? {} : { keyUsage: options.keyUsage }),
    extendedKeyUsage: options.eku ?? ['serverAuth', 'clientAuth'],
  });
  const chain = [leaf, ...above];
  return {
    chain,
    certificatePem: toPem(chain),
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    privateKeyPem: Buffer.from(exportPkcs8Pem(keys.privateKey)),
  };
}

/** Slow RSA keys are made once per process and role; the others are fresh. */
function testKeyPair(kind: KeyKind, role: number): KeyPair {
  if (kind !== 'rsa' && kind !== 'rsa-pss') return generateKeyPair(kind);
  const slot = `${kind} ${String(role)}`;
  const kept = rsaKeys.get(slot) ?? generateKeyPair(kind);
  rsaKeys.set(slot, kept);
  return kept;
}

function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((g) => parseInt(g, 16)));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const middle = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return Uint8Array.from([...before, ...middle, ...after].flatMap((g) => [g >> 8, g & 0xff]));
}

function validity(): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - HOUR), notAfter: new Date(now + 24 * HOUR) };
}

const HOUR = 3_600_000;
const rsaKeys = new Map<string, KeyPair>();
