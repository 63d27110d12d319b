import { createDecipheriv, createPrivateKey, type KeyObject } from 'node:crypto';
import { concat, equalConstantTime, wipe } from '../bytes/bytes.ts';
import { CertificateError } from './certificate-error.ts';
import { DerError } from './der.ts';
import {
  type BerItems,
  BerValue,
  type Derivation,
  type HashName,
  KdfPurpose,
  pbkdf2,
  pkcs12Kdf,
  pkcs12Mac,
} from './forge.ts';
import { checkedPrivateKey } from './private-key.ts';

export interface Pkcs12Content {
  readonly privateKey: KeyObject;
  /** DER, in the order of the file: the leaf need not be the first. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * Opens a PKCS #12 file ({@link https://www.rfc-editor.org/rfc/rfc7292#section-4 | RFC 7292 §4}) with one
 * private key and any number of certificates. The MAC is verified first; without one, a file is
 * refused. node-forge reads the container and derives keys; the private key goes, still encrypted,
 * to OpenSSL, which decrypts it straight into a `KeyObject`: it never becomes a string. So a key
 * that is not encrypted by itself is refused. `passphrase` is UTF-8; wiping it and `bytes` is the
 * caller's.
 *
 * Throws `CertificateError`: `malformed_pkcs12`, `unsupported_pkcs12`, `wrong_passphrase`,
 * `no_private_key`, `several_private_keys`, `unsupported_private_key`.
 */
export function openPkcs12(bytes: Uint8Array, passphrase: Uint8Array): Pkcs12Content {
  if (bytes.length > MAX_PKCS12_BYTES) throw malformed('is too long');
  try {
    return readPfx(bytes, { text: decodePassphrase(passphrase), bytes: passphrase });
  } catch (error) {
    if (error instanceof DerError) throw malformed(error.message);
    throw error;
  }
}

/* PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe ContentInfo, macData MacData OPTIONAL } */
function readPfx(bytes: Uint8Array, passphrase: Passphrase): Pkcs12Content {
  const pfx = parse(bytes).sequence();
  if (pfx.next().integer() !== 3) throw unsupported('is not of version 3');
  const authSafe = pfx.next().sequence();
  if (authSafe.next().objectIdentifier() !== oids.data) throw unsupported('is signed, not keyed');
  const authenticated = authSafe.next().explicit().octetString();
  if (pfx.done) throw unsupported('has no MAC');
  checkMac(pfx.next().sequence(), authenticated, passphrase);
  pfx.end();
  const collected: Collected = { keys: [], certificates: [] };
  const contents = parse(authenticated).sequence();
  while (!contents.done) readContentInfo(contents.next().sequence(), passphrase, collected);
  const [privateKey, second] = collected.keys;
  if (privateKey === undefined) throw refused('no_private_key', 'holds no private key');
  if (second !== undefined) throw refused('several_private_keys', 'holds several private keys');
  return { privateKey, certificates: collected.certificates };
}

/* MacData ::= SEQUENCE { mac SEQUENCE { digestAlgorithm, digest OCTET STRING }, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 } */
function checkMac(macData: BerItems, content: Uint8Array, passphrase: Passphrase): void {
  const mac = macData.next().sequence();
  const oid = mac.next().sequence().next().objectIdentifier();
  const digest = mac.next().octetString();
  const salt = macData.next().octetString();
  const iterations = macData.done ? 1 : readIterations(macData.next());
  const hash = macHashes.get(oid);
  if (hash === undefined) throw unsupported(`has a MAC by ${oid}`);
  const expected = pkcs12Mac(content, passphrase.text, { hash, salt, iterations });
  if (!equalConstantTime(expected, digest)) throw wrongPassphrase();
}

/* ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY } */
function readContentInfo(info: BerItems, passphrase: Passphrase, collected: Collected): void {
  const oid = info.next().objectIdentifier();
  const content = info.next().explicit();
  if (oid === oids.data) {
    readSafeContents(content.octetString(), passphrase, collected);
    return;
  }
  if (oid !== oids.encryptedData) throw unsupported(`has content of type ${oid}`);
  /*
   * EncryptedData ::= SEQUENCE { version INTEGER, SEQUENCE { contentType OBJECT IDENTIFIER,
   *   contentEncryptionAlgorithm AlgorithmIdentifier, encryptedContent [0] IMPLICIT OCTET STRING } }
   */
  const encryptedData = content.sequence();
  encryptedData.next().integer();
  const encrypted = encryptedData.next().sequence();
  const isData = encrypted.next().objectIdentifier() === oids.data;
  if (!isData) throw unsupported('encrypts something unknown');
  const encryption = readEncryption(encrypted.next());
  const plain = decrypt(encryption, encrypted.next().implicitOctetString(), passphrase);
  try {
    readSafeContents(plain, passphrase, collected);
  } finally {
    wipe(plain);
  }
}

/* SafeContents ::= SEQUENCE OF SEQUENCE { bagId OBJECT IDENTIFIER, bagValue [0] EXPLICIT ANY, bagAttributes SET OPTIONAL } */
function readSafeContents(bytes: Uint8Array, passphrase: Passphrase, collected: Collected): void {
  const bags = parse(bytes).sequence();
  while (!bags.done) {
    const bag = bags.next().sequence();
    const oid = bag.next().objectIdentifier();
    const value = bag.next().explicit();
    if (oid === oids.shroudedKeyBag) {
      collected.keys.push(decryptPrivateKey(value, passphrase));
    } else if (oid === oids.certBag) {
      collected.certificates.push(readCertificateBag(value.sequence()));
    } else {
      throw unsupported(`has a bag of type ${oid}`);
    }
  }
}

/* CertBag ::= SEQUENCE { certId OBJECT IDENTIFIER, certValue [0] EXPLICIT OCTET STRING } */
function readCertificateBag(bag: BerItems): Uint8Array {
  const isX509 = bag.next().objectIdentifier() === oids.x509Certificate;
  if (!isX509) throw unsupported('has no X.509 certificate');
  return bag.next().explicit().octetString();
}

/* EncryptedPrivateKeyInfo ::= SEQUENCE { encryptionAlgorithm AlgorithmIdentifier, encryptedData OCTET STRING } */
function decryptPrivateKey(encryptedKeyInfo: BerValue, passphrase: Passphrase): KeyObject {
  // OpenSSL reads the encryption itself, but takes any number of iterations.
  readEncryption(encryptedKeyInfo.sequence().next());
  let key: KeyObject;
  try {
    key = createPrivateKey({
      key: asBuffer(encryptedKeyInfo.toDer()),
      format: 'der',
      type: 'pkcs8',
      passphrase: asBuffer(passphrase.bytes),
    });
  } catch {
    // The MAC was right, so it is the encryption; OpenSSL's reason is dropped with what it may quote.
    throw unsupported('has a private key that OpenSSL cannot decrypt; write it anew with AES');
  }
  return checkedPrivateKey(key);
}

/*
 * AlgorithmIdentifier of a password-based encryption: PBES2 with PBKDF2 (RFC 8018 §6.2), or the 3DES
 * scheme of RFC 7292 appendix C.
 *
 * PBES2-params ::= SEQUENCE { keyDerivationFunc AlgorithmIdentifier, encryptionScheme AlgorithmIdentifier }
 */
function readEncryption(identifier: BerValue): Encryption {
  const algorithm = identifier.sequence();
  const oid = algorithm.next().objectIdentifier();
  const parameters = algorithm.next().sequence();
  if (oid === oids.pbeWithSha1And3Des) {
    const salt = parameters.next().octetString();
    const iterations = readIterations(parameters.next());
    return { cipher: tripleDes, derivation: { hash: 'sha1', salt, iterations }, iv: undefined };
  }
  if (oid !== oids.pbes2) throw unsupported(`uses the encryption ${oid}; write it anew with AES`);
  const derivation = readPbkdf2(parameters.next().sequence());
  const scheme = parameters.next().sequence();
  const schemeOid = scheme.next().objectIdentifier();
  const cipher = ciphers.get(schemeOid);
  if (cipher === undefined) throw unsupported(`uses the encryption ${schemeOid}`);
  const iv = scheme.next().octetString();
  if (iv.length !== cipher.ivBytes) throw unsupported('has an initialisation vector of odd length');
  return { cipher, derivation, iv };
}

/*
 * PBKDF2-params ::= SEQUENCE { salt OCTET STRING, iterationCount INTEGER, keyLength INTEGER OPTIONAL,
 *   prf AlgorithmIdentifier DEFAULT hmacWithSHA1 }
 */
function readPbkdf2(kdf: BerItems): Derivation {
  const oid = kdf.next().objectIdentifier();
  if (oid !== oids.pbkdf2) throw unsupported(`derives keys by ${oid}`);
  const parameters = kdf.next().sequence();
  const salt = parameters.next().octetString();
  const iterations = readIterations(parameters.next());
  if (parameters.peek()?.isInteger === true) parameters.next();
  const prf = parameters.done ? undefined : parameters.next().sequence().next().objectIdentifier();
  const hash = prf === undefined ? 'sha1' : prfs.get(prf);
  if (hash === undefined) throw unsupported('derives keys by an unknown function');
  return { hash, salt, iterations };
}

/** Before anything is derived: refuses a count that would keep us busy for minutes. */
function readIterations(value: BerValue): number {
  const iterations = value.integer();
  if (iterations < 1 || iterations > MAX_ITERATIONS) {
    throw unsupported(`asks for ${String(iterations)} iterations`);
  }
  return iterations;
}

/**
 * Decrypts certificates. Not with forge, whose answer would be a string: what comes out is not known
 * to be free of keys before {@link parse} has looked at it.
 */
function decrypt(
  { cipher, derivation, iv }: Encryption,
  encrypted: Uint8Array,
  { text, bytes }: Passphrase,
): Uint8Array {
  const { name, keyBytes, ivBytes } = cipher;
  const key =
    iv === undefined
      ? pkcs12Kdf(text, KdfPurpose.key, keyBytes, derivation)
      : pbkdf2(bytes, keyBytes, derivation);
  const decipher = createDecipheriv(
    name,
    key,
    iv ?? pkcs12Kdf(text, KdfPurpose.iv, ivBytes, derivation),
  );
  wipe(key);
  const head = decipher.update(encrypted);
  try {
    const tail = decipher.final();
    const plain = concat(head, tail);
    wipe(tail);
    return plain;
  } catch {
    // Bad padding: with CBC that is all there is to tell a wrong passphrase by.
    throw wrongPassphrase();
  } finally {
    wipe(head);
  }
}

/** Has forge read a value, unless a plain private key (a keyBag) is in it: that would become a string. */
function parse(bytes: Uint8Array): BerValue {
  if (asBuffer(bytes).includes(KEY_BAG_OID)) {
    throw unsupported(
      'has a private key without encryption of its own; write it anew, with `openssl pkcs12 -export -keypbe AES-256-CBC`',
    );
  }
  return BerValue.parse(bytes);
}

function decodePassphrase(utf8: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
  } catch {
    // What TextDecoder says is no help, and it could quote.
    throw unsupported('needs a passphrase in UTF-8');
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(problem: string): CertificateError {
  return refused('malformed_pkcs12', problem);
}

function unsupported(problem: string): CertificateError {
  return refused('unsupported_pkcs12', problem);
}

function wrongPassphrase(): CertificateError {
  return refused('wrong_passphrase', 'does not open with this passphrase');
}

function refused(reason: string, problem: string): CertificateError {
  return new CertificateError('bad_certificate', reason, `the PKCS #12 file ${problem}`);
}

interface Collected {
  readonly keys: KeyObject[];
  readonly certificates: Uint8Array[];
}

/** PKCS #12 derives from UTF-16, PBKDF2 from bytes. */
interface Passphrase {
  readonly text: string;
  readonly bytes: Uint8Array;
}

interface Cipher {
  readonly name: string;
  readonly keyBytes: number;
  readonly ivBytes: number;
}

interface Encryption {
  readonly cipher: Cipher;
  readonly derivation: Derivation;
  /** Absent: key and vector are derived in the way of PKCS #12. */
  readonly iv: Uint8Array | undefined;
}

const MAX_PKCS12_BYTES = 1024 * 1024;

/** Some seconds of work: more than any program asks for. */
const MAX_ITERATIONS = 2_000_000;

/** 1.2.840.113549.1.12.10.1.1, as it stands in a file. */
const KEY_BAG_OID = Buffer.from('2a864886f70d010c0a0101', 'hex');

const oids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  pbeWithSha1And3Des: '1.2.840.113549.1.12.1.3',
} as const;

const macHashes = new Map<string, HashName>([
  ['1.3.14.3.2.26', 'sha1'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

const prfs = new Map<string, HashName>([
  ['1.2.840.113549.2.7', 'sha1'],
  ['1.2.840.113549.2.9', 'sha256'],
  ['1.2.840.113549.2.10', 'sha384'],
  ['1.2.840.113549.2.11', 'sha512'],
]);

const tripleDes: Cipher = { name: 'des-ede3-cbc', keyBytes: 24, ivBytes: 8 };

const ciphers = new Map<string, Cipher>([
  ['2.16.840.1.101.3.4.1.2', { name: 'aes-128-cbc', keyBytes: 16, ivBytes: 16 }],
  ['2.16.840.1.101.3.4.1.22', { name: 'aes-192-cbc', keyBytes: 24, ivBytes: 16 }],
  ['2.16.840.1.101.3.4.1.42', { name: 'aes-256-cbc', keyBytes: 32, ivBytes: 16 }],
  ['1.2.840.113549.3.7', tripleDes],
]);
