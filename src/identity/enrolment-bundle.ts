import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { concat, equal, toHex } from '../bytes/bytes.ts';
import { hash } from '../crypto/hash.ts';
import { verifySignature } from '../crypto/signatures.ts';
import {
  type Certificate,
  importPrivateKey,
  isTrustDomain,
  parseCertificate,
  parsePem,
  type PemBlock,
} from '../pki/index.ts';
import type { AuthorityCredential } from './dial.ts';

/** What a host is given to enrol with. */
export interface EnrolmentBundle {
  readonly token: string;
  /** host:port */
  readonly addresses: readonly string[];
  readonly trustDomain: string;
  /** What the token makes of a host; the second part of its SPIFFE ID. */
  readonly role: string;
  /** DER; what the host believes in from now on. */
  readonly roots: readonly Uint8Array[];
  readonly options: Readonly<Record<string, string>>;
  /** When token and credential end. */
  readonly notAfter: Date;
  /** Opens the enrolment port, says nothing of who holds it. */
  readonly credential: AuthorityCredential;
}

/** A bundle that is not one, or not whole; `reason` is for programs, neither holds the token. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/**
 * Reads a bundle file: the blocks `SIDEKEY ENROLMENT` (an Ed25519 signature of 64 bytes over "sidekey
 * bundle v1", a zero byte and the rest, which is JSON), `CERTIFICATE` and `PRIVATE KEY`, each once.
 * The signature is by the key that signed the token, whose id stands in both, so a part of one bundle
 * cannot be put into another. The private key is read as bytes, which are wiped; `file` stays the
 * caller's. Whether the bundle has ended is not looked at. Throws {@link BundleError}.
 */
export function parseEnrolmentBundle(file: Uint8Array): EnrolmentBundle {
  if (file.length > maxFileBytes) {
    throw new BundleError('bundle_malformed', `is longer than ${String(maxFileBytes)} bytes`);
  }
  const blocks = readBlocks(file);
  try {
    const signed = one(blocks, 'SIDEKEY ENROLMENT');
    const document = readDocument(signed.subarray(signatureBytes));
    checkSignature(document, signed);
    checkToken(document);
    return {
      token: document.token,
      addresses: document.addresses,
      trustDomain: document.trustDomain,
      role: document.role,
      roots: readRoots(document),
      options: document.options,
      notAfter: new Date(document.notAfter),
      credential: readCredential(document, blocks),
    };
  } finally {
    for (const { der } of blocks) der.fill(0);
  }
}

function readBlocks(file: Uint8Array): readonly PemBlock[] {
  try {
    return parsePem(file);
  } catch (cause) {
    throw new BundleError('bundle_malformed', messageOf(cause), { cause });
  }
}

function one(blocks: readonly PemBlock[], label: string): Uint8Array {
  const [block, second] = blocks.filter((each) => each.label === label);
  if (block === undefined) throw new BundleError('bundle_malformed', `has no block "${label}"`);
  if (second !== undefined) {
    throw new BundleError('bundle_malformed', `has more than one block "${label}"`);
  }
  return block.der;
}

function readDocument(bytes: Uint8Array): Document {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // What JSON.parse says quotes the text, and the token is in it.
    throw new BundleError('bundle_malformed', 'its enrolment block holds no JSON');
  }
  const version = versionOf(value);
  if (version !== 1) {
    const message = `is of version ${String(version)}, which this version of the program does not know`;
    throw new BundleError('bundle_version_unknown', message);
  }
  const parsed = documentSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map(({ path }) => path.join('.') || 'document').join(', ');
  throw new BundleError('bundle_malformed', `its enrolment block is wrong at: ${where}`);
}

function versionOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'version' in value
    ? value.version
    : undefined;
}

function checkSignature(document: Document, signed: Uint8Array): void {
  const publicKey = readPublicKey(document);
  const signature = signed.subarray(0, signatureBytes);
  const content = concat(signedContext, signed.subarray(signatureBytes));
  if (verifySignature(publicKey, ed25519, content, signature)) return;
  throw new BundleError('bundle_altered', 'was altered: its signature does not fit');
}

function readPublicKey({ publicKey, keyId }: Document): KeyObject {
  const info = Buffer.from(publicKey, 'base64');
  if (toHex(hash('sha256', info)).slice(0, 16) !== keyId) {
    throw new BundleError('bundle_altered', 'was altered: its key is not the one it names');
  }
  try {
    return createPublicKey({ key: info, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new BundleError('bundle_malformed', 'its public key cannot be read', { cause });
  }
}

/** Payload: version (1 byte), key id (8), and more that only the authority reads. */
function checkToken({ token, keyId }: Document): void {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url');
  if (toHex(payload.subarray(1, 9)) === keyId) return;
  throw new BundleError('bundle_altered', 'was altered: its token is signed by another key');
}

function readRoots({ roots, rootPins }: Document): readonly Uint8Array[] {
  const ders = roots.map((root) => Uint8Array.from(Buffer.from(root, 'base64')));
  for (const [index, der] of ders.entries()) {
    if (toHex(hash('sha256', der)) !== rootPins[index]) {
      throw new BundleError('bundle_altered', 'was altered: a root does not fit its fingerprint');
    }
    readCertificate(der, 'a root');
  }
  if (rootPins.length !== ders.length) {
    throw new BundleError('bundle_malformed', 'has another number of fingerprints than of roots');
  }
  return ders;
}

function readCredential(document: Document, blocks: readonly PemBlock[]): AuthorityCredential {
  const der = Uint8Array.from(one(blocks, 'CERTIFICATE'));
  const certificate = readCertificate(der, 'its certificate');
  if (toHex(certificate.fingerprint) !== document.credential) {
    throw new BundleError('bundle_altered', 'was altered: its certificate is not the one it names');
  }
  const privateKey = readPrivateKey(one(blocks, 'PRIVATE KEY'));
  const ownInfo = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  if (!equal(ownInfo, certificate.publicKeyInfo)) {
    throw new BundleError(
      'bundle_altered',
      'was altered: its private key is of another certificate',
    );
  }
  return { privateKey, chain: [der] };
}

function readPrivateKey(der: Uint8Array): KeyObject {
  try {
    return importPrivateKey(der, 'pkcs8');
  } catch (cause) {
    throw new BundleError('bundle_malformed', 'its private key cannot be used', { cause });
  }
}

function readCertificate(der: Uint8Array, what: string): Certificate {
  try {
    return parseCertificate(der);
  } catch (cause) {
    throw new BundleError('bundle_malformed', `${what} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type Document = z.infer<typeof documentSchema>;

const base64 = z.base64().min(1).max(65_536);
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const textMap = z.record(z.string().max(128), z.string().max(4096));

const documentSchema = z.object({
  version: z.literal(1),
  token: z
    .string()
    .max(1024)
    .regex(/^sk1\.[A-Za-z0-9_-]{24,}\.[A-Za-z0-9_-]{16,}$/),
  addresses: z
    .array(
      z
        .string()
        .min(3)
        .max(300)
        .regex(/^[^\s:/]+:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/),
    )
    .min(1)
    .max(32),
  trustDomain: z.string().refine(isTrustDomain),
  role: z.string().regex(/^[a-z]{1,32}$/),
  properties: textMap,
  roots: z.array(base64).min(1).max(32),
  rootPins: z.array(hex32).min(1).max(32),
  bundleSequence: z.number().int().nonnegative(),
  epoch: z.string().max(64),
  options: textMap,
  notAfter: z.number().int().positive().max(8.64e15),
  credential: hex32,
  keyId: z.string().regex(/^[0-9a-f]{16}$/),
  publicKey: base64,
});

const signedContext = Buffer.from('sidekey bundle v1\0', 'latin1');
const signatureBytes = 64;
const ed25519 = 0x0807;
const maxFileBytes = 256 * 1024;
