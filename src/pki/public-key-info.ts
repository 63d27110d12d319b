import { createPublicKey, type KeyObject } from 'node:crypto';
import { equal } from '../bytes/bytes.ts';
import type { KeyKind } from '../crypto/keys.ts';
import { DerReader, readWhole, Tag } from './der.ts';
import { element, objectIdentifier, sequence } from './der-writer.ts';
import { oidKey } from './oids.ts';

/** A `SubjectPublicKeyInfo` as far as it can be judged without importing the key. */
export interface PublicKeyInfo {
  readonly der: Uint8Array;
  /** The bits of the key themselves: what key identifiers are made from. */
  readonly keyBits: Uint8Array;
  /** `undefined` for algorithms, curves and point forms we do not use. */
  readonly keyKind: KeyKind | undefined;
}

/**
 * Parses a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7). The algorithm is recognised by the bytes of
 * its identifier: named curves only (RFC 5480 §2.1.1), uncompressed points, no parameters for Ed25519
 * (RFC 8410 §3), NULL for RSA (RFC 3279 §2.3.1). Throws `DerError`.
 */
export function parsePublicKeyInfo(der: Uint8Array): PublicKeyInfo {
  /* SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier, subjectPublicKey BIT STRING } */
  const reader = readWhole(der, (outer) => outer.enter(Tag.sequence));
  const algorithm = reader.element(Tag.sequence);
  const keyBits = reader.wholeBytes();
  reader.end();
  return { der, keyBits, keyKind: keyKindOf(algorithm, keyBits) };
}

/**
 * Imports a key. OpenSSL 3 takes two to ten times as long for the DER of curve keys as for their
 * coordinates, on which it makes the same checks. Throws what OpenSSL throws, such as for points off
 * the curve.
 */
export function importPublicKeyInfo({ der, keyBits, keyKind }: PublicKeyInfo): KeyObject {
  switch (keyKind) {
    case 'ecdsa-p256':
    case 'ecdsa-p384': {
      const half = 1 + (keyBits.length - 1) / 2;
      const x = base64url(keyBits.subarray(1, half));
      const y = base64url(keyBits.subarray(half));
      const crv = keyKind === 'ecdsa-p256' ? 'P-256' : 'P-384';
      return createPublicKey({ key: { kty: 'EC', crv, x, y }, format: 'jwk' });
    }
    case 'ed25519':
      return createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: base64url(keyBits) },
        format: 'jwk',
      });
    case 'rsa':
    case 'rsa-pss':
    case undefined:
      return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

function keyKindOf(algorithm: Uint8Array, keyBits: Uint8Array): KeyKind | undefined {
  if (equal(algorithm, ecdsaP256)) return isPoint(keyBits, 32) ? 'ecdsa-p256' : undefined;
  if (equal(algorithm, ecdsaP384)) return isPoint(keyBits, 48) ? 'ecdsa-p384' : undefined;
  if (equal(algorithm, ed25519)) return keyBits.length === 32 ? 'ed25519' : undefined;
  if (equal(algorithm, rsaEncryption)) return 'rsa';
  const oid = new DerReader(algorithm).enter(Tag.sequence).objectIdentifier();
  return oid === rsassaPss ? 'rsa-pss' : undefined;
}

/** OpenSSL would take compressed points too; RFC 5480 §2.2 lets us refuse them. */
function isPoint(keyBits: Uint8Array, fieldBytes: number): boolean {
  return keyBits.length === 1 + 2 * fieldBytes && keyBits[0] === 0x04;
}

const ecPublicKey = objectIdentifier('1.2.840.10045.2.1');
const ecdsaP256 = sequence(ecPublicKey, objectIdentifier('1.2.840.10045.3.1.7'));
const ecdsaP384 = sequence(ecPublicKey, objectIdentifier('1.3.132.0.34'));
const ed25519 = sequence(objectIdentifier('1.3.101.112'));
const rsaEncryption = sequence(objectIdentifier('1.2.840.113549.1.1.1'), element(Tag.null));
const rsassaPss = oidKey('1.2.840.113549.1.1.10');
