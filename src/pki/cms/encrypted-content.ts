import { createSecretKey, type KeyObject } from 'node:crypto';
import { concat } from '../../bytes/bytes.ts';
import { aeadTagBytes, openAesGcm, sealAesGcm } from '../../crypto/aead.ts';
import { openAesCbc } from '../../crypto/aes-cbc.ts';
import { element, integer, objectIdentifier, octetString, sequence } from '../der-writer.ts';
import { type DerReader, Tag } from '../der.ts';
import { dottedOid } from '../oids.ts';
import { CmsError } from './cms-error.ts';
import { ContentEncryptionOid, ContentTypeOid } from './cms-oids.ts';

/** Ways content is encrypted. */
export type ContentEncryption = keyof typeof ContentEncryptionOid;

/** Encrypted content and how to decrypt it, given its key. */
export interface EncryptedContent {
  readonly encryption: ContentEncryption;
  /** Nonce of 12 bytes, or initialisation vector of 16. */
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/*
 * EncryptedContentInfo ::= SEQUENCE {
 *   contentType ContentType, contentEncryptionAlgorithm ContentEncryptionAlgorithmIdentifier,
 *   encryptedContent [0] IMPLICIT OCTET STRING OPTIONAL }
 * GCMParameters ::= SEQUENCE { aes-nonce OCTET STRING, aes-ICVlen AES-GCM-ICVlen DEFAULT 12 }
 */

/**
 * Reads an `EncryptedContentInfo`
 * ({@link https://www.rfc-editor.org/rfc/rfc5652#section-6.1 | RFC 5652 §6.1}) of content of type id-data, as
 * the type is outside of what is encrypted and nobody vouches for it. Throws `CmsError` or `DerError`.
 */
export function readEncryptedContent(reader: DerReader): EncryptedContent {
  const inside = reader.enter(Tag.sequence);
  const contentType = dottedOid(inside.objectIdentifier());
  const algorithm = readAlgorithm(inside.enter(Tag.sequence));
  if (!inside.next(Tag.context(0))) {
    throw new CmsError('content_detached', 'the encrypted content is not there');
  }
  const ciphertext = inside.content(Tag.context(0));
  inside.end();
  if (contentType !== ContentTypeOid.data) {
    const message = `the encrypted content is of type ${contentType}, not id-data`;
    throw new CmsError('unsupported_content', message);
  }
  return { ...algorithm, ciphertext };
}

/** Encrypts with AES-256-GCM: the structure, and the tag that belongs beside it (RFC 5084 §3.2). */
export function sealContent(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): { readonly encryptedContentInfo: Uint8Array; readonly mac: Uint8Array } {
  const sealed = sealAesGcm(createSecretKey(key), nonce, plaintext, noBytes);
  const end = sealed.length - aeadTagBytes;
  return {
    encryptedContentInfo: sequence(
      objectIdentifier(ContentTypeOid.data),
      sequence(
        objectIdentifier(ContentEncryptionOid['aes-256-gcm']),
        sequence(octetString(nonce), integer(aeadTagBytes)),
      ),
      element(Tag.context(0), sealed.subarray(0, end)),
    ),
    mac: sealed.subarray(end),
  };
}

/** The plaintext, the caller's to wipe; `undefined` if it cannot be had with this key. */
export function openContent(
  { encryption, iv, ciphertext }: EncryptedContent,
  mac: Uint8Array,
  key: Uint8Array,
): Uint8Array | undefined {
  const secret: KeyObject = createSecretKey(key);
  return encryption === 'aes-256-gcm'
    ? openAesGcm(secret, iv, concat(ciphertext, mac), noBytes)
    : openAesCbc(secret, iv, ciphertext);
}

function readAlgorithm(reader: DerReader): Pick<EncryptedContent, 'encryption' | 'iv'> {
  const oid = dottedOid(reader.objectIdentifier());
  if (oid === ContentEncryptionOid['aes-256-cbc']) {
    const iv = reader.content(Tag.octetString);
    reader.end();
    if (iv.length === 16) return { encryption: 'aes-256-cbc', iv };
  }
  if (oid === ContentEncryptionOid['aes-256-gcm']) {
    const parameters = reader.enter(Tag.sequence);
    const iv = parameters.content(Tag.octetString);
    // Absent it is 12: a tag of full length has to be asked for.
    const tagBytes = parameters.done ? 12 : parameters.smallInteger();
    parameters.end();
    reader.end();
    if (iv.length === 12 && tagBytes === aeadTagBytes) return { encryption: 'aes-256-gcm', iv };
  }
  const message =
    'the content is encrypted neither with AES-256-GCM and a full tag nor AES-256-CBC';
  throw new CmsError('unsupported_algorithm', message);
}

const noBytes = new Uint8Array(0);
