import { hash } from '../../crypto/hash.ts';
import { concat, toHex } from '../../bytes/bytes.ts';
import { encodePem } from '../../pki/index.ts';
import type { Properties } from '../tokens/properties.ts';
import type { Role } from '../store/schema.ts';

/**
 * What a host needs to enrol, and nothing about who it is. As a file it has three blocks
 * ({@link https://www.rfc-editor.org/rfc/rfc7468#section-2 | RFC 7468 §2}):
 *
 * - `SIDEKEY ENROLMENT`: an Ed25519 signature of 64 bytes over "sidekey bundle v1", a zero byte and
 *   what follows it, which is the JSON of {@link BundleDocument};
 * - `CERTIFICATE`: the enrol-only client credential that opens the enrolment port;
 * - `PRIVATE KEY`: its key, PKCS #8.
 *
 * The signature is by the key that signed the token, whose id is the first 8 bytes of SHA-256 over its
 * SubjectPublicKeyInfo and stands in the token, too: whoever changes an address or a root in a bundle
 * has to replace the token as well, which leaves nothing of ours in it.
 */
export interface BundleDocument {
  readonly version: 1;
  readonly token: string;
  /** host:port of enrolment services, to be tried in any order. */
  readonly addresses: readonly string[];
  readonly trustDomain: string;
  /** What the token makes of a host. */
  readonly role: Role;
  readonly properties: Properties;
  /** Certificates of the roots, DER as base64. */
  readonly roots: readonly string[];
  /** SHA-256 over the DER of each root, hex. */
  readonly rootPins: readonly string[];
  /** Sequence and epoch of the trust bundle the roots are from. */
  readonly bundleSequence: number;
  readonly epoch: string;
  /** Settings for the host, by name. */
  readonly options: Properties;
  /** When token and credential end, ms since 1970. */
  readonly notAfter: number;
  /** SHA-256 over the DER of the credential's certificate, hex. */
  readonly credential: string;
  /** Of the signing key: hex of its id, and its SubjectPublicKeyInfo, DER as base64. */
  readonly keyId: string;
  readonly publicKey: string;
}

/** What all bundles of a batch share. */
export interface BundleFrame {
  readonly addresses: readonly string[];
  readonly trustDomain: string;
  readonly role: Role;
  readonly properties: Properties;
  readonly roots: readonly Uint8Array[];
  readonly bundleSequence: number;
  readonly epoch: string;
  readonly options: Properties;
  readonly notAfter: number;
  /** DER of the certificate, and PKCS #8 of its key, which stays the caller's to wipe. */
  readonly credential: { readonly certificate: Uint8Array; readonly privateKey: Uint8Array };
  readonly key: { readonly id: Uint8Array; readonly publicKey: Uint8Array };
}

/** Makes the bundles of a batch: `document` is signed elsewhere, then `file` puts all together. */
export interface BundleMaker {
  /** What is to be signed for a token, see {@link bundleSignedPart}. */
  document(token: string): Uint8Array;
  /** The file. Holds a private key: the caller wipes it after use. */
  file(document: Uint8Array, signature: Uint8Array): Uint8Array;
  /** Overwrites the copy of the private key made here. */
  close(): void;
}

export function createBundleMaker(frame: BundleFrame): BundleMaker {
  const { credential, key } = frame;
  const rest = JSON.stringify({
    addresses: frame.addresses,
    trustDomain: frame.trustDomain,
    role: frame.role,
    properties: frame.properties,
    roots: frame.roots.map(base64),
    rootPins: frame.roots.map(pin),
    bundleSequence: frame.bundleSequence,
    epoch: frame.epoch,
    options: frame.options,
    notAfter: frame.notAfter,
    credential: pin(credential.certificate),
    keyId: toHex(key.id),
    publicKey: base64(key.publicKey),
  } satisfies Omit<BundleDocument, 'version' | 'token'>).slice(1);
  const certificatePem = encodePem('CERTIFICATE', credential.certificate);
  const keyPem = encodePem('PRIVATE KEY', credential.privateKey);
  return {
    // A token is base64url and dots: nothing in it needs escaping.
    document: (token) => Buffer.from(`{"version":1,"token":"${token}",${rest}`, 'utf8'),
    file(document, signature) {
      const pem = encodePem('SIDEKEY ENROLMENT', Buffer.concat([signature, document]));
      return concat(pem, certificatePem, keyPem);
    },
    close: () => void keyPem.fill(0),
  };
}

/** What the signature of a bundle is over. */
export function bundleSignedPart(document: Uint8Array): Uint8Array {
  return Buffer.concat([context, document]);
}

/** Id of a token key: the first 8 bytes of SHA-256 over its DER SubjectPublicKeyInfo. */
export function tokenKeyId(publicKeyInfo: Uint8Array): Uint8Array {
  return hash('sha256', publicKeyInfo).slice(0, 8);
}

function pin(der: Uint8Array): string {
  return toHex(hash('sha256', der));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

const context = Buffer.from('sidekey bundle v1\0', 'latin1');
