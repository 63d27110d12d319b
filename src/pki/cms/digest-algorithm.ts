import type { HashName } from '../../crypto/hash.ts';
import type { KeyKind } from '../../crypto/keys.ts';
import { element, objectIdentifier, sequence } from '../der-writer.ts';
import { Tag } from '../der.ts';
import { ecdsaWithSha512 } from '../signature-algorithm.ts';
import { DigestOid } from './cms-oids.ts';

/** The hash of a digest `AlgorithmIdentifier`; `undefined` for one we do not use, SHA-1 among them. */
export function digestOfAlgorithm(algorithmIdentifier: Uint8Array): HashName | undefined {
  return forms.find(({ der }) => Buffer.compare(der, algorithmIdentifier) === 0)?.name;
}

/** The `AlgorithmIdentifier` we write, without parameters (RFC 5754 §2). */
export function encodeDigestAlgorithm(name: HashName): Uint8Array {
  return sequence(objectIdentifier(DigestOid[name]));
}

/**
 * The hash that goes with a signature scheme, by its TLS number; `undefined` for one that signs no
 * CMS here: PKCS #1 v1.5 is not among them. Content and attributes have the same hash (RFC 5754 §3),
 * and with Ed25519 it is SHA-512 (RFC 8419 §3.1).
 */
export function digestOfScheme(scheme: number): HashName | undefined {
  return schemeDigests.get(scheme);
}

/** The scheme a key of a kind signs CMS with, by its TLS number. */
export function signingScheme(kind: KeyKind): number {
  return signingSchemes[kind];
}

const names: readonly HashName[] = ['sha256', 'sha384', 'sha512'];

/** RFC 5754 §2: parameters are absent, and those who write NULL are to be understood. */
const forms = names.flatMap((name) => {
  const oid = objectIdentifier(DigestOid[name]);
  return [sequence(oid), sequence(oid, element(Tag.null))].map((der) => ({ name, der }));
});

const schemeDigests = new Map<number, HashName>([
  [0x0403, 'sha256'],
  [0x0503, 'sha384'],
  [ecdsaWithSha512, 'sha512'],
  [0x0807, 'sha512'],
  [0x0804, 'sha256'],
  [0x0805, 'sha384'],
  [0x0806, 'sha512'],
  [0x0809, 'sha256'],
  [0x080a, 'sha384'],
  [0x080b, 'sha512'],
]);

/** Exhaustive by type, so a new kind of key needs a decision here. */
const signingSchemes: Readonly<Record<KeyKind, number>> = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
  ed25519: 0x0807,
  rsa: 0x0804,
  'rsa-pss': 0x0809,
};
