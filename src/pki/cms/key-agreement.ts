import type { KeyObject } from 'node:crypto';
import { wipe } from '../../bytes/bytes.ts';
import { generateKeyShare, KeyExchangeError } from '../../crypto/key-exchange.ts';
import { unwrapKey, wrapKey, wrappingKeyBytes } from '../../crypto/key-wrap.ts';
import { agreeOnP256 } from '../../crypto/static-key-agreement.ts';
import { deriveX963Sha256 } from '../../crypto/x963-kdf.ts';
import {
  bitString,
  element,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
} from '../der-writer.ts';
import { DerError, type DerReader, Tag } from '../der.ts';
import type { Certificate } from '../certificate.ts';
import { parsePublicKeyInfo } from '../public-key-info.ts';
import { CmsError } from './cms-error.ts';
import { AES256_WRAP_OID, EC_PUBLIC_KEY_OID, ECDH_SHA256_KDF_OID, P256_OID } from './cms-oids.ts';
import {
  type CertificateIdentifier,
  encodeIssuerAndSerialNumber,
  readIssuerAndSerialNumber,
} from './identifiers.ts';

/** A content-encryption key wrapped with what the sender's ephemeral and the recipient's key agree on. */
export interface KeyAgreement {
  readonly tag: 'keyAgreement';
  readonly recipient: CertificateIdentifier;
  /** Uncompressed point. */
  readonly originatorPoint: Uint8Array;
  /** Goes into the key derivation; absent: the sender chose none. */
  readonly userKeyingMaterial: Uint8Array | undefined;
  readonly encryptedKey: Uint8Array;
}

/*
 * KeyAgreeRecipientInfo ::= SEQUENCE {
 *   version CMSVersion, -- always set to 3
 *   originator [0] EXPLICIT OriginatorIdentifierOrKey, ukm [1] EXPLICIT UserKeyingMaterial OPTIONAL,
 *   keyEncryptionAlgorithm KeyEncryptionAlgorithmIdentifier, recipientEncryptedKeys SEQUENCE OF RecipientEncryptedKey }
 * OriginatorIdentifierOrKey ::= CHOICE { …, originatorKey [1] OriginatorPublicKey }
 * OriginatorPublicKey ::= SEQUENCE { algorithm AlgorithmIdentifier, publicKey BIT STRING }
 * RecipientEncryptedKey ::= SEQUENCE { rid KeyAgreeRecipientIdentifier, encryptedKey EncryptedKey }
 * KeyAgreeRecipientIdentifier ::= CHOICE { issuerAndSerialNumber IssuerAndSerialNumber, rKeyId [0] IMPLICIT RecipientKeyIdentifier }
 */

/** Tag of a `KeyAgreeRecipientInfo` within the choice of recipients. */
export const keyAgreementTag = Tag.contextConstructed(1);

/**
 * Reads the inside of a `KeyAgreeRecipientInfo` for one recipient
 * ({@link https://www.rfc-editor.org/rfc/rfc5753#section-3.1.1 | RFC 5753 §3.1.1}): ephemeral-static ECDH with
 * the X9.63 KDF and SHA-256, AES-256 key wrap. Throws `CmsError` or `DerError`.
 */
export function readKeyAgreement(reader: DerReader): KeyAgreement {
  if (reader.smallInteger() !== 3) throw new DerError('is not of version 3');
  const originator = reader.enter(Tag.contextConstructed(0));
  const originatorPoint = readOriginatorPoint(originator.enter(Tag.contextConstructed(1)));
  originator.end();
  const ukm = reader.enterOptional(Tag.contextConstructed(1));
  const userKeyingMaterial = ukm?.content(Tag.octetString);
  ukm?.end();
  if ((userKeyingMaterial?.length ?? 0) > MAX_UKM_BYTES) throw new DerError('has a long ukm');
  if (Buffer.compare(reader.element(Tag.sequence), ecdhWithKeyWrap) !== 0) {
    const message = 'the key agreement is not ECDH with the SHA-256 KDF and AES-256 key wrap';
    throw new CmsError('unsupported_algorithm', message);
  }
  const list = reader.enter(Tag.sequence);
  const encrypted = list.enter(Tag.sequence);
  if (!list.done) throw new CmsError('unsupported_recipient', 'there are several recipients');
  reader.end();
  const recipient = readRecipient(encrypted);
  const encryptedKey = encrypted.content(Tag.octetString);
  encrypted.end();
  return { tag: 'keyAgreement', recipient, originatorPoint, userKeyingMaterial, encryptedKey };
}

/** Wraps a key for a certificate of a P-256 key, which the caller has looked at. */
export function encodeKeyAgreement(certificate: Certificate, key: Uint8Array): Uint8Array {
  const ephemeral = generateKeyShare(P256_GROUP);
  const { keyBits } = parsePublicKeyInfo(certificate.publicKeyInfo);
  const secret = ephemeral.complete(keyBits);
  const wrappingKey = deriveX963Sha256(secret, sharedInfo(undefined), wrappingKeyBytes);
  try {
    return element(
      keyAgreementTag,
      integer(3),
      explicit(
        0,
        element(
          Tag.contextConstructed(1),
          sequence(objectIdentifier(EC_PUBLIC_KEY_OID)),
          bitString(ephemeral.publicKey),
        ),
      ),
      ecdhWithKeyWrap,
      sequence(
        sequence(encodeIssuerAndSerialNumber(certificate), octetString(wrapKey(wrappingKey, key))),
      ),
    );
  } finally {
    wipe(secret, wrappingKey);
  }
}

/** The wrapped key, the caller's to wipe; `undefined` if it was not wrapped for this one. */
export function openKeyAgreement(
  { originatorPoint, userKeyingMaterial, encryptedKey }: KeyAgreement,
  privateKey: KeyObject,
): Uint8Array | undefined {
  let secret: Uint8Array;
  try {
    secret = agreeOnP256(privateKey, originatorPoint);
  } catch (error) {
    if (!(error instanceof KeyExchangeError)) throw error;
    return undefined;
  }
  const wrappingKey = deriveX963Sha256(secret, sharedInfo(userKeyingMaterial), wrappingKeyBytes);
  try {
    return unwrapKey(wrappingKey, encryptedKey);
  } finally {
    wipe(secret, wrappingKey);
  }
}

/*
 * ECC-CMS-SharedInfo ::= SEQUENCE {
 *   keyInfo AlgorithmIdentifier, entityUInfo [0] EXPLICIT OCTET STRING OPTIONAL, suppPubInfo [2] EXPLICIT OCTET STRING }
 * RFC 5753 §7.2: suppPubInfo is the length of the wrapping key in bits.
 */
function sharedInfo(userKeyingMaterial: Uint8Array | undefined): Uint8Array {
  return sequence(
    aes256Wrap,
    ...(userKeyingMaterial === undefined ? [] : [explicit(0, octetString(userKeyingMaterial))]),
    explicit(2, octetString(Uint8Array.of(0, 0, (wrappingKeyBytes * 8) >> 8, 0))),
  );
}

function readOriginatorPoint(reader: DerReader): Uint8Array {
  const algorithm = reader.element(Tag.sequence);
  const point = reader.wholeBytes();
  reader.end();
  if (!originatorAlgorithms.some((known) => Buffer.compare(known, algorithm) === 0)) {
    throw new CmsError('unsupported_algorithm', "the originator's key is not of P-256");
  }
  return point;
}

/* RecipientKeyIdentifier ::= SEQUENCE { subjectKeyIdentifier SubjectKeyIdentifier, date OPTIONAL, other OPTIONAL } */
function readRecipient(reader: DerReader): CertificateIdentifier {
  const byKey = reader.enterOptional(Tag.contextConstructed(0));
  if (byKey === undefined) return readIssuerAndSerialNumber(reader);
  const keyIdentifier = byKey.content(Tag.octetString);
  byKey.end();
  return { tag: 'subjectKeyIdentifier', keyIdentifier };
}

const P256_GROUP = 23;

/** RFC 5753 wants as much as makes a derivation unique; OpenSSL's tool takes any. */
const MAX_UKM_BYTES = 128;

/** RFC 3565 §4.2: parameters are absent. */
const aes256Wrap = sequence(objectIdentifier(AES256_WRAP_OID));
const ecdhWithKeyWrap = sequence(objectIdentifier(ECDH_SHA256_KDF_OID), aes256Wrap);

/** RFC 5753 §3.1.1: parameters are absent, and those who write NULL or the curve are to be understood. */
const originatorAlgorithms = [[], [element(Tag.null)], [objectIdentifier(P256_OID)]].map(
  (parameters) => sequence(objectIdentifier(EC_PUBLIC_KEY_OID), ...parameters),
);
