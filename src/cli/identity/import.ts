import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type Certificate,
  describeCertificate,
  encodePem,
  exportPkcs8Pem,
  loadPrivateKey,
  openPkcs12,
  parseCertificate,
  parseCertificatePem,
} from '../../pki/index.ts';
import { printable } from '../terminal.ts';
import { identityPaths, writeNewFiles } from './files.ts';

export interface ImportIdentityOptions {
  readonly name: string;
  readonly directory: string;
  readonly source: IdentitySource;
}

/** Where a key and its certificates come from. */
export type IdentitySource =
  | {
      readonly kind: 'pkcs12';
      readonly file: string;
      /** Absent: an empty passphrase. */
      readonly passphraseFile: string | undefined;
    }
  | { readonly kind: 'pem'; readonly certificateFile: string; readonly privateKeyFile: string };

/**
 * Takes over a key with its certificates as `NAME.key` (PKCS #8, readable by its owner only) and
 * `NAME.pem` (leaf first), after checking that they belong together.
 *
 * @returns lines telling what was written
 * @throws if they do not, or cannot be read
 */
export async function importIdentity(options: ImportIdentityOptions): Promise<readonly string[]> {
  const { source } = options;
  const { privateKey, certificates } =
    source.kind === 'pkcs12' ? await readPkcs12(source) : await readPemPair(source);
  const chain = leafFirst(privateKey, certificates);
  const paths = await identityPaths(options.directory, options.name);
  const key = exportPkcs8Pem(privateKey);
  const pem = Buffer.concat(chain.map(({ der }) => encodePem('CERTIFICATE', der)));
  try {
    await writeNewFiles([
      { path: paths.key, content: key, mode: 0o600 },
      { path: paths.certificate, content: pem, mode: 0o644 },
    ]);
  } finally {
    key.fill(0);
  }
  return [
    `private key   ${paths.key}`,
    `certificates  ${paths.certificate}`,
    ...chain.map(
      (certificate) =>
        `              ${printable(describeCertificate(certificate))}, until ${certificate.notAfter.toISOString()}`,
    ),
  ];
}

interface KeyWithCertificates {
  readonly privateKey: KeyObject;
  /** DER, in any order. */
  readonly certificates: readonly Uint8Array[];
}

async function readPkcs12(source: {
  readonly file: string;
  readonly passphraseFile: string | undefined;
}): Promise<KeyWithCertificates> {
  const bytes = await readFile(source.file);
  const passphrase =
    source.passphraseFile === undefined ? Buffer.alloc(0) : await readFile(source.passphraseFile);
  try {
    return openPkcs12(bytes, withoutLineEnd(passphrase));
  } finally {
    passphrase.fill(0);
    bytes.fill(0);
  }
}

async function readPemPair(source: {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
}): Promise<KeyWithCertificates> {
  const certificates = parseCertificatePem(await readFile(source.certificateFile));
  const pem = await readFile(source.privateKeyFile);
  try {
    return { privateKey: loadPrivateKey(pem), certificates };
  } finally {
    pem.fill(0);
  }
}

/** An editor ends a passphrase file with a line end that is not part of the passphrase. */
function withoutLineEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  if (end > 0 && bytes[end - 1] === 0x0a) end--;
  if (end > 0 && bytes[end - 1] === 0x0d) end--;
  return bytes.subarray(0, end);
}

/** PKCS #12 keeps certificates in no order; TLS wants the one with our key first. */
function leafFirst(privateKey: KeyObject, ders: readonly Uint8Array[]) {
  const publicKey = createPublicKey(privateKey);
  const certificates = ders.map((der) => parseCertificate(der));
  const leaf = certificates.find((certificate) => certificate.publicKey.equals(publicKey));
  if (leaf === undefined) {
    throw new Error('none of the certificates is for this private key');
  }
  const chain = [leaf];
  let rest = certificates.filter((certificate) => certificate !== leaf);
  for (let last = leaf; ;) {
    const issuer = rest.find(({ subject }) => Buffer.compare(subject, last.issuer) === 0);
    if (issuer === undefined || isSelfIssued(last)) return chain;
    chain.push(issuer);
    rest = rest.filter((certificate) => certificate !== issuer);
    last = issuer;
  }
}

function isSelfIssued(certificate: Certificate): boolean {
  return Buffer.compare(certificate.subject, certificate.issuer) === 0;
}
