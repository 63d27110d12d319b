import { createHmac, createPrivateKey, type KeyObject } from 'node:crypto';
import { copyOf, equalConstantTime, wipe } from '../bytes/bytes.ts';
import { joinOctetStrings, toDer } from './ber.ts';
import { CertificateError } from './certificate-error.ts';
import { DerError, DerReader, Tag } from './der.ts';
import { dottedOid, oidKey } from './oids.ts';
import {
  decryptWithPassphrase,
  KdfPurpose,
  pkcs12Kdf,
  readIterations,
  toBmpString,
  unsupported,
  wrongPassphrase,
} from './pkcs12-encryption.ts';
import { checkedPrivateKey, importPrivateKey } from './private-key.ts';

export interface Pkcs12Content {
  readonly privateKey: KeyObject;
  /** DER, in the order of the file: the leaf need not be the first. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Opens a PKCS #12 file ({@link https://www.rfc-editor.org/rfc/rfc7292#section-4 | RFC 7292 §4}) with one
 * private key and any number of certificates. The MAC is verified first; without one, a file is
 * refused. The key is decrypted by OpenSSL straight into a `KeyObject`: no library of ours or
 * others' turns it into a string. `passphrase` is UTF-8; wiping it and `bytes` is the caller's.
 *
 * Throws `CertificateError`: `malformed_pkcs12`, `unsupported_pkcs12`, `wrong_passphrase`,
 * `no_private_key`, `several_private_keys`, and what `importPrivateKey` throws.
 */
export function openPkcs12(bytes: Uint8Array, passphrase: Uint8Array): Pkcs12Content {
  if (bytes.length > MAX_PKCS12_BYTES) throw malformed('is too long');
  try {
    return readPfx(new DerReader(toDer(bytes)), passphrase);
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message);
    throw error;
  }
}

/* PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe ContentInfo, macData MacData OPTIONAL } */
function readPfx(file: DerReader, passphrase: Uint8Array): Pkcs12Content {
  const pfx = file.enter(Tag.sequence);
  if (pfx.smallInteger() !== 3) throw unsupported('is not of version 3');
  const authSafe = pfx.enter(Tag.sequence);
  if (authSafe.objectIdentifier() !== oids.data) throw unsupported('is signed, not keyed');
  const authenticated = authSafe.enter(Tag.contextConstructed(0)).content(Tag.octetString);
  if (pfx.done) throw unsupported('has no MAC');
  checkMac(pfx.enter(Tag.sequence), authenticated, passphrase);
  pfx.end();
  const collected: Collected = { keys: [], certificates: [] };
  const contents = new DerReader(toDer(authenticated)).enter(Tag.sequence);
  while (!contents.done) readContentInfo(contents.enter(Tag.sequence), passphrase, collected);
  const [privateKey, second] = collected.keys;
  if (privateKey === undefined) throw refused('no_private_key', 'holds no private key');
  if (second !== undefined) throw refused('several_private_keys', 'holds several private keys');
  return { privateKey, certificates: collected.certificates };
}

/* MacData ::= SEQUENCE { mac SEQUENCE { digestAlgorithm, digest OCTET STRING }, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 } */
function checkMac(macData: DerReader, content: Uint8Array, passphrase: Uint8Array): void {
  const mac = macData.enter(Tag.sequence);
  const oid = mac.enter(Tag.sequence).objectIdentifier();
  const digest = mac.content(Tag.octetString);
  const salt = macData.content(Tag.octetString);
  const iterations = macData.done ? 1 : readIterations(macData);
  const algorithm = macHashes.get(oid);
  if (algorithm === undefined) throw unsupported(`has a MAC by ${dottedOid(oid)}`);
  const password = toBmpString(passphrase);
  const { name, bytes } = algorithm;
  const key = pkcs12Kdf(name, KdfPurpose.mac, password, salt, iterations, bytes);
  const expected = createHmac(name, key).update(content).digest();
  wipe(password, key);
  if (!equalConstantTime(expected, digest)) throw wrongPassphrase();
}

/* ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY } */
function readContentInfo(info: DerReader, passphrase: Uint8Array, collected: Collected): void {
  const oid = info.objectIdentifier();
  const content = info.enter(Tag.contextConstructed(0));
  if (oid === oids.data) {
    readSafeContents(content.content(Tag.octetString), passphrase, collected);
    return;
  }
  if (oid !== oids.encryptedData) throw unsupported(`has content of type ${dottedOid(oid)}`);
  /*
   * EncryptedData ::= SEQUENCE { version INTEGER, SEQUENCE { contentType OBJECT IDENTIFIER,
   *   contentEncryptionAlgorithm AlgorithmIdentifier, encryptedContent [0] IMPLICIT OCTET STRING } }
   */
  const encryptedData = content.enter(Tag.sequence);
  encryptedData.smallInteger();
  const encrypted = encryptedData.enter(Tag.sequence);
  if (encrypted.objectIdentifier() !== oids.data) throw unsupported('encrypts something unknown');
  const algorithm = encrypted.enter(Tag.sequence);
  const plain = decryptWithPassphrase(algorithm, readEncryptedContent(encrypted), passphrase);
  try {
    readSafeContents(plain, passphrase, collected);
  } finally {
    wipe(plain);
  }
}

/** In one piece, or, from writers of BER, in several. */
function readEncryptedContent(encrypted: DerReader): Uint8Array {
  const pieces = encrypted.enterOptional(Tag.contextConstructed(0));
  if (pieces === undefined) return encrypted.content(Tag.context(0));
  const octetStrings: Uint8Array[] = [];
  while (!pieces.done) octetStrings.push(pieces.element(Tag.octetString));
  return joinOctetStrings(octetStrings);
}

/* SafeContents ::= SEQUENCE OF SEQUENCE { bagId OBJECT IDENTIFIER, bagValue [0] EXPLICIT ANY, bagAttributes SET OPTIONAL } */
function readSafeContents(bytes: Uint8Array, passphrase: Uint8Array, collected: Collected): void {
  const der = toDer(bytes);
  try {
    const bags = new DerReader(der).enter(Tag.sequence);
    while (!bags.done) {
      const bag = bags.enter(Tag.sequence);
      const oid = bag.objectIdentifier();
      const value = bag.enter(Tag.contextConstructed(0));
      if (oid === oids.keyBag) {
        collected.keys.push(importPrivateKey(value.element(Tag.sequence), 'pkcs8'));
      } else if (oid === oids.shroudedKeyBag) {
        collected.keys.push(decryptPrivateKey(value.element(Tag.sequence), passphrase));
      } else if (oid === oids.certBag) {
        collected.certificates.push(readCertificateBag(value.enter(Tag.sequence)));
      } else {
        throw unsupported(`has a bag of type ${dottedOid(oid)}`);
      }
    }
  } finally {
    wipe(der);
  }
}

/* CertBag ::= SEQUENCE { certId OBJECT IDENTIFIER, certValue [0] EXPLICIT OCTET STRING } */
function readCertificateBag(bag: DerReader): Uint8Array {
  if (bag.objectIdentifier() !== oids.x509Certificate)
    throw unsupported('has no X.509 certificate');
  return copyOf(bag.enter(Tag.contextConstructed(0)).content(Tag.octetString));
}

function decryptPrivateKey(encryptedKeyInfo: Uint8Array, passphrase: Uint8Array): KeyObject {
  const asBuffer = (bytes: Uint8Array) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let key: KeyObject;
  try {
    key = createPrivateKey({
      key: asBuffer(encryptedKeyInfo),
      format: 'der',
      type: 'pkcs8',
      passphrase: asBuffer(passphrase),
    });
  } catch {
    // The MAC was right, so it is the encryption; OpenSSL's reason is dropped with what it may quote.
    throw unsupported('has a private key that OpenSSL cannot decrypt; write it anew with AES');
  }
  return checkedPrivateKey(key);
}

function malformed(problem: string): CertificateError {
  const message = `the PKCS #12 file ${problem}`;
  return new CertificateError('bad_certificate', 'malformed_pkcs12', message);
}

function refused(reason: string, problem: string): CertificateError {
  return new CertificateError('bad_certificate', reason, `the PKCS #12 file ${problem}`);
}

interface Collected {
  readonly keys: KeyObject[];
  readonly certificates: Uint8Array[];
}

const MAX_PKCS12_BYTES = 1024 * 1024;

const oids = {
  data: oidKey('1.2.840.113549.1.7.1'),
  encryptedData: oidKey('1.2.840.113549.1.7.6'),
  keyBag: oidKey('1.2.840.113549.1.12.10.1.1'),
  shroudedKeyBag: oidKey('1.2.840.113549.1.12.10.1.2'),
  certBag: oidKey('1.2.840.113549.1.12.10.1.3'),
  x509Certificate: oidKey('1.2.840.113549.1.9.22.1'),
} as const;

const macHashes = new Map([
  [oidKey('1.3.14.3.2.26'), { name: 'sha1', bytes: 20 }],
  [oidKey('2.16.840.1.101.3.4.2.1'), { name: 'sha256', bytes: 32 }],
  [oidKey('2.16.840.1.101.3.4.2.2'), { name: 'sha384', bytes: 48 }],
  [oidKey('2.16.840.1.101.3.4.2.3'), { name: 'sha512', bytes: 64 }],
]);
