import type { KeyObject } from 'node:crypto';
import { wipe } from '../../bytes/bytes.ts';
import type { Certificate } from '../certificate.ts';
import type { KeyUsage } from '../extensions.ts';
import { type DerReader, readWhole, Tag } from '../der.ts';
import { CmsError } from './cms-error.ts';
import { identifies } from './identifiers.ts';
import {
  encodeKeyAgreement,
  type KeyAgreement,
  keyAgreementTag,
  openKeyAgreement,
  readKeyAgreement,
} from './key-agreement.ts';
import {
  encodeKeyTransport,
  type KeyTransport,
  openKeyTransport,
  readKeyTransport,
} from './key-transport.ts';
import { reading } from './reading.ts';
import { usableKey } from './usable-key.ts';

/** How a message's key reaches one recipient. */
export type RecipientInfo = KeyAgreement | KeyTransport;

/** Bytes of the content-encryption keys here: AES-256. */
export const contentKeyBytes = 32;

/** The longest `RecipientInfo` we look at: an RSA key of 8192 bits and a long name fit. */
export const MAX_RECIPIENT_INFO_BYTES = 4096;

/**
 * Reads a `RecipientInfo` ({@link https://www.rfc-editor.org/rfc/rfc5652#section-6.2 | RFC 5652 §6.2}): key
 * agreement or key transport. Throws `CmsError`.
 */
export function parseRecipientInfo(der: Uint8Array): RecipientInfo {
  if (der.length > MAX_RECIPIENT_INFO_BYTES) {
    const message = `the RecipientInfo is longer than ${String(MAX_RECIPIENT_INFO_BYTES)} bytes`;
    throw new CmsError('too_large', message);
  }
  return reading('the RecipientInfo', der, (bytes) => readWhole(bytes, readRecipientInfo));
}

/**
 * Encrypts a content-encryption key for whoever has the key of a certificate: DER of a `RecipientInfo`,
 * by ephemeral-static ECDH for P-256 and RSAES-OAEP for RSA. Throws `CmsError` (`unsupported_recipient`)
 * for other keys, and for a certificate that is not for this use (RFC 5280 §4.2.1.3).
 */
export function sealContentKey(certificate: Certificate, key: Uint8Array): Uint8Array {
  if (key.length !== contentKeyBytes) throw new RangeError('a content key has 32 bytes');
  switch (certificate.keyKind) {
    case 'ecdsa-p256':
      requireUsage(certificate, 'keyAgreement');
      return encodeKeyAgreement(certificate, key);
    case 'rsa':
      requireUsage(certificate, 'keyEncipherment');
      return encodeKeyTransport(certificate, key);
    case 'ecdsa-p384':
    case 'ed25519':
    case 'rsa-pss':
    case undefined:
      throw new CmsError('unsupported_recipient', "the recipient's key is neither P-256 nor RSA");
  }
}

/**
 * The content-encryption key in a `RecipientInfo` that names `certificate`, opened with its private key:
 * 32 bytes, the caller's to wipe. Throws `CmsError`.
 */
export function openContentKey(
  info: RecipientInfo,
  {
    certificate,
    privateKey,
  }: { readonly certificate: Certificate; readonly privateKey: KeyObject },
): Uint8Array {
  if (!identifies(info.recipient, certificate)) {
    throw new CmsError('recipient_mismatch', 'the message is for another certificate');
  }
  const key = fits(info, certificate) ? open(info, privateKey) : undefined;
  if (key?.length === contentKeyBytes) return key;
  if (key !== undefined) wipe(key);
  throw new CmsError('key_unwrap_failed', 'the content key cannot be unwrapped');
}

function readRecipientInfo(reader: DerReader): RecipientInfo {
  if (reader.next(keyAgreementTag)) return readKeyAgreement(reader.enter(keyAgreementTag));
  if (reader.next(Tag.sequence)) return readKeyTransport(reader.enter(Tag.sequence));
  throw new CmsError('unsupported_recipient', 'the recipient has neither agreement nor transport');
}

function fits({ tag }: RecipientInfo, { keyKind }: Certificate): boolean {
  return keyKind === (tag === 'keyAgreement' ? 'ecdsa-p256' : 'rsa');
}

function open(info: RecipientInfo, privateKey: KeyObject): Uint8Array | undefined {
  return info.tag === 'keyAgreement'
    ? openKeyAgreement(info, privateKey)
    : openKeyTransport(info, privateKey);
}

function requireUsage(certificate: Certificate, usage: KeyUsage): void {
  if (certificate.keyUsage?.includes(usage) === false) {
    throw new CmsError('unsupported_recipient', `the recipient's certificate is not for ${usage}`);
  }
  if (usableKey(certificate) === undefined) {
    throw new CmsError('unsupported_recipient', "the recipient's key cannot be used");
  }
}
