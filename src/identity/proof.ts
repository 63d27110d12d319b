import type { KeyObject } from 'node:crypto';
import { concat } from '../bytes/bytes.ts';
import { hash } from '../crypto/hash.ts';
import { type KeyKind, keyKindOf } from '../crypto/keys.ts';
import { sign } from '../crypto/signatures.ts';

/** What a renewal asks for; the proof binds all of it. */
export interface RenewalContent {
  /** PKCS #10, DER. */
  readonly tlsRequest: Uint8Array;
  /** Empty: none is wanted. */
  readonly decryptionRequest: Uint8Array;
  readonly renewalToken: string;
}

/** Proof, by the current TLS key, that its holder asks for a renewal. */
export function proveRenewal(key: KeyObject, content: RenewalContent): Promise<Uint8Array> {
  return sign(key, proofScheme(key), renewalBytes(content));
}

/** What {@link proveRenewal} signs. */
export function renewalBytes(content: RenewalContent): Uint8Array {
  return concat(
    renewalContext,
    hash('sha256', content.tlsRequest),
    hash('sha256', content.decryptionRequest),
    hash('sha256', Buffer.from(content.renewalToken, 'utf8')),
  );
}

/** Proof, by a new TLS key, that its certificate arrived. */
export function proveArrival(key: KeyObject, serial: Uint8Array): Promise<Uint8Array> {
  return sign(key, proofScheme(key), arrivalBytes(serial));
}

/** What {@link proveArrival} signs. */
export function arrivalBytes(serial: Uint8Array): Uint8Array {
  return concat(arrivalContext, serial);
}

/** The TLS number of the scheme a key proves with. Throws `TypeError` for a key we do not use. */
export function proofScheme(key: KeyObject): number {
  const kind = keyKindOf(key);
  if (kind === undefined) throw new TypeError('a key of a kind that is not used');
  return schemes[kind];
}

const renewalContext = Buffer.from('sidekey renew v1\0', 'latin1');
const arrivalContext = Buffer.from('sidekey confirm v1\0', 'latin1');

const schemes: Readonly<Record<KeyKind, number>> = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
  ed25519: 0x0807,
  rsa: 0x0804,
  'rsa-pss': 0x0809,
};
