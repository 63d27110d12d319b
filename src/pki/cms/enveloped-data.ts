import { wipe } from '../../bytes/bytes.ts';
import { aeadTagBytes } from '../../crypto/aead.ts';
import { randomBytes } from '../../crypto/random.ts';
import type { Certificate } from '../certificate.ts';
import { element, integer, octetString, sequence } from '../der-writer.ts';
import { DerError, type DerReader, readWhole, Tag } from '../der.ts';
import { CmsError } from './cms-error.ts';
import { ContentTypeOid } from './cms-oids.ts';
import { encodeContentInfo, parseContentInfo } from './content-info.ts';
import {
  type ContentEncryption,
  type EncryptedContent,
  openContent,
  readEncryptedContent,
  sealContent,
} from './encrypted-content.ts';
import { reading } from './reading.ts';
import { contentKeyBytes, parseRecipientInfo, sealContentKey } from './recipient-info.ts';

/** A message for one recipient, still closed. */
export interface SealedMessage {
  /** DER of the one `RecipientInfo`: what opens with the recipient's private key. */
  readonly recipientInfo: Uint8Array;
  readonly encryption: ContentEncryption;
  /**
   * The content, by the content-encryption key; the caller's to wipe. Of AES-256-CBC nothing vouches for
   * it: believe only what is signed inside. Throws `CmsError`.
   */
  readonly open: (contentKey: Uint8Array) => Uint8Array;
}

/**
 * Encrypts content for the one whose certificate it is, with a fresh key and AES-256-GCM: DER of a
 * `ContentInfo` with an `AuthEnvelopedData`
 * ({@link https://www.rfc-editor.org/rfc/rfc5083#section-2.1 | RFC 5083 §2.1},
 * {@link https://www.rfc-editor.org/rfc/rfc5084#section-3.2 | RFC 5084 §3.2}). Throws `CmsError` for a certificate
 * nobody can encrypt for.
 */
export function sealMessage(recipient: Certificate, content: Uint8Array): Uint8Array {
  const key = randomBytes(contentKeyBytes);
  try {
    const recipientInfo = sealContentKey(recipient, key);
    // A key of its own for every message: the nonce cannot come a second time.
    const { encryptedContentInfo, mac } = sealContent(key, randomBytes(12), content);
    return encodeContentInfo({
      contentType: ContentTypeOid.authEnvelopedData,
      content: sequence(
        integer(0),
        element(Tag.set, recipientInfo),
        encryptedContentInfo,
        octetString(mac),
      ),
    });
  } finally {
    wipe(key);
  }
}

/**
 * Reads a `ContentInfo` with an `AuthEnvelopedData` (AES-256-GCM) or an `EnvelopedData` (AES-256-CBC) for
 * one recipient, without attributes. Throws `CmsError`. Keeps views of `der`.
 */
export function parseSealedMessage(der: Uint8Array): SealedMessage {
  const { contentType, content } = parseContentInfo(der);
  switch (contentType) {
    case ContentTypeOid.authEnvelopedData:
      return reading('the AuthEnvelopedData', content, readAuthEnvelopedData);
    case ContentTypeOid.envelopedData:
      return reading('the EnvelopedData', content, readEnvelopedData);
    default:
      throw new CmsError('unsupported_content', `content of type ${contentType} is not encrypted`);
  }
}

/*
 * AuthEnvelopedData ::= SEQUENCE {
 *   version CMSVersion, originatorInfo [0] IMPLICIT OriginatorInfo OPTIONAL, recipientInfos RecipientInfos,
 *   authEncryptedContentInfo EncryptedContentInfo, authAttrs [1] IMPLICIT AuthAttributes OPTIONAL,
 *   mac MessageAuthenticationCode, unauthAttrs [2] IMPLICIT UnauthAttributes OPTIONAL }
 */
function readAuthEnvelopedData(der: Uint8Array): SealedMessage {
  const reader = readWhole(der, (outer) => outer.enter(Tag.sequence));
  if (reader.smallInteger() !== 0) throw new DerError('is not of version 0');
  const recipientInfo = readOnlyRecipient(reader);
  const encrypted = readEncryptedContent(reader);
  const mac = reader.content(Tag.octetString);
  reader.end();
  if (encrypted.encryption !== 'aes-256-gcm' || mac.length !== aeadTagBytes) {
    throw new CmsError('unsupported_algorithm', 'the AuthEnvelopedData is not of AES-256-GCM');
  }
  return sealed(recipientInfo, encrypted, mac);
}

/*
 * EnvelopedData ::= SEQUENCE {
 *   version CMSVersion, originatorInfo [0] IMPLICIT OriginatorInfo OPTIONAL, recipientInfos RecipientInfos,
 *   encryptedContentInfo EncryptedContentInfo, unprotectedAttrs [1] IMPLICIT UnprotectedAttributes OPTIONAL }
 */
function readEnvelopedData(der: Uint8Array): SealedMessage {
  const reader = readWhole(der, (outer) => outer.enter(Tag.sequence));
  const version = reader.smallInteger();
  const recipientInfo = readOnlyRecipient(reader);
  const encrypted = readEncryptedContent(reader);
  reader.end();
  const info = parseRecipientInfo(recipientInfo);
  // RFC 5652 §6.1.
  const isPlain = info.tag === 'keyTransport' && info.recipient.tag === 'issuerAndSerialNumber';
  if (version !== (isPlain ? 0 : 2)) throw new DerError('has another version than it calls for');
  // With GCM the tag would be missing: OpenSSL once made such, and they are worth nothing.
  if (encrypted.encryption !== 'aes-256-cbc') {
    throw new CmsError('unsupported_algorithm', 'the EnvelopedData is not of AES-256-CBC');
  }
  return sealed(recipientInfo, encrypted, noBytes);
}

function readOnlyRecipient(reader: DerReader): Uint8Array {
  if (reader.next(Tag.contextConstructed(0))) {
    throw new DerError('has an originatorInfo, which nobody asked for');
  }
  const recipients = reader.enter(Tag.set);
  const { element: recipientInfo } = recipients.any();
  if (!recipients.done) {
    throw new CmsError('unsupported_recipient', 'the message has several recipients');
  }
  parseRecipientInfo(recipientInfo);
  return recipientInfo;
}

function sealed(
  recipientInfo: Uint8Array,
  encrypted: EncryptedContent,
  mac: Uint8Array,
): SealedMessage {
  return {
    recipientInfo,
    encryption: encrypted.encryption,
    open: (contentKey) => {
      const content = openContent(encrypted, mac, contentKey);
      if (content !== undefined) return content;
      throw new CmsError('content_decryption_failed', 'the content cannot be decrypted');
    },
  };
}

const noBytes = new Uint8Array(0);
