import { createPrivateKey, type KeyObject } from 'node:crypto';
import { keyKindOf } from '../crypto/keys.ts';
import { isAcceptableKey } from '../crypto/signatures.ts';
import { CertificateError } from './certificate-error.ts';
import { encodePem, parsePem } from './pem.ts';

/**
 * Loads a private key from PEM: `PRIVATE KEY` (PKCS #8, RFC 5958), or the older `EC PRIVATE KEY`
 * (RFC 5915) and `RSA PRIVATE KEY` (RFC 8017). Works on bytes; what it decodes is wiped, wiping `pem`
 * is the caller's. Blocks of other kinds (certificates, EC parameters) are skipped.
 *
 * Throws `CertificateError`: `encrypted_private_key`, `no_private_key`, `several_private_keys`,
 * `malformed_private_key`, `unsupported_private_key`.
 */
export function loadPrivateKey(pem: Uint8Array): KeyObject {
  const blocks = parsePem(pem);
  try {
    const encrypted = blocks.some(({ label }) => label === 'ENCRYPTED PRIVATE KEY');
    if (encrypted)
      throw refused('encrypted_private_key', 'the private key is encrypted: decrypt it first');
    const keys = blocks.filter(({ label }) => keyTypes.has(label));
    const [block, second] = keys;
    if (block === undefined) throw refused('no_private_key', 'the file holds no private key');
    if (second !== undefined) {
      throw refused('several_private_keys', 'the file holds more than one private key');
    }
    return importPrivateKey(block.der, keyTypes.get(block.label) ?? 'pkcs8');
  } finally {
    for (const { der } of blocks) der.fill(0);
  }
}

/** Imports the DER of a private key and checks that it is of a kind and size we use. */
export function importPrivateKey(der: Uint8Array, type: 'pkcs8' | 'sec1' | 'pkcs1'): KeyObject {
  return checkedPrivateKey(createKey(der, type));
}

/** The key, if it is of a kind and size we use. Throws `CertificateError`. */
export function checkedPrivateKey(key: KeyObject): KeyObject {
  if (keyKindOf(key) === undefined) {
    throw refused(
      'unsupported_private_key',
      'the private key is neither ECDSA P-256, P-384, Ed25519 nor RSA',
    );
  }
  if (!isAcceptableKey(key)) {
    throw refused(
      'unsupported_private_key',
      'the private key is not an RSA key of 2048 to 8192 bits with a usual exponent',
    );
  }
  return key;
}

/** PKCS #8 PEM of a private key, in memory the caller owns and wipes. */
export function exportPkcs8Pem(key: KeyObject): Uint8Array {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  try {
    return encodePem('PRIVATE KEY', der);
  } finally {
    der.fill(0);
  }
}

function createKey(der: Uint8Array, type: 'pkcs8' | 'sec1' | 'pkcs1'): KeyObject {
  try {
    const key = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
    return createPrivateKey({ key, format: 'der', type });
  } catch {
    // OpenSSL's reason may quote what it read: it is dropped on purpose.
    throw refused('malformed_private_key', 'the private key cannot be read');
  }
}

function refused(reason: string, message: string): CertificateError {
  return new CertificateError('bad_certificate', reason, message);
}

const keyTypes = new Map<string, 'pkcs8' | 'sec1' | 'pkcs1'>([
  ['PRIVATE KEY', 'pkcs8'],
  ['EC PRIVATE KEY', 'sec1'],
  ['RSA PRIVATE KEY', 'pkcs1'],
]);
