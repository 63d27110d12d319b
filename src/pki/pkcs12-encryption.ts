import { createDecipheriv, hash, pbkdf2Sync } from 'node:crypto';
import { concat, wipe } from '../bytes/bytes.ts';
import { CertificateError } from './certificate-error.ts';
import { type DerReader, Tag } from './der.ts';
import { dottedOid, oidKey } from './oids.ts';

/**
 * Decrypts what a password-based `AlgorithmIdentifier` says
 * ({@link https://www.rfc-editor.org/rfc/rfc8018#section-6.2 | RFC 8018 §6.2} with PBKDF2 and AES-CBC or
 * 3DES-CBC, and the 3DES scheme of {@link https://www.rfc-editor.org/rfc/rfc7292#appendix-C | RFC 7292
 * appendix C}). `algorithm` stands inside the identifier. The answer is the caller's to wipe.
 *
 * Throws `CertificateError` (`wrong_passphrase`, `unsupported_pkcs12`) or `DerError`.
 */
export function decryptWithPassphrase(
  algorithm: DerReader,
  encrypted: Uint8Array,
  passphrase: Uint8Array,
): Uint8Array {
  const { cipher, key, iv } = deriveKey(algorithm, passphrase);
  const decipher = createDecipheriv(cipher, key, iv);
  try {
    const head = decipher.update(encrypted);
    const tail = decipher.final();
    const plain = concat(head, tail);
    wipe(head, tail);
    return plain;
  } catch {
    // Bad padding: with CBC that is all there is to tell a wrong passphrase by.
    throw wrongPassphrase();
  } finally {
    wipe(key);
  }
}

/**
 * Key derivation of PKCS #12 ({@link https://www.rfc-editor.org/rfc/rfc7292#appendix-B.2 | RFC 7292
 * appendix B.2}): for its MAC and its old encryption schemes. `password` is a BMPString with its
 * terminating zero, see {@link toBmpString}.
 */
export function pkcs12Kdf(
  hashName: string,
  purpose: KdfPurpose,
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Uint8Array {
  const blockBytes = hashName === 'sha384' || hashName === 'sha512' ? 128 : 64;
  const diversifier = new Uint8Array(blockBytes).fill(purpose);
  const input = concat(fillBlocks(salt, blockBytes), fillBlocks(password, blockBytes));
  const out = Buffer.alloc(length);
  for (let written = 0; written < length;) {
    const seed = concat(diversifier, input);
    let digest = hash(hashName, seed, 'buffer');
    wipe(seed);
    for (let round = 1; round < iterations; round += 1) {
      const next = hash(hashName, digest, 'buffer');
      digest.fill(0);
      digest = next;
    }
    out.set(digest.subarray(0, length - written), written);
    written += digest.length;
    addToBlocks(input, fillBlocks(digest, blockBytes, blockBytes));
    digest.fill(0);
  }
  wipe(input);
  return out;
}

/** What derived bytes are for (RFC 7292 appendix B.3). */
export const KdfPurpose = { key: 1, iv: 2, mac: 3 } as const;
export type KdfPurpose = (typeof KdfPurpose)[keyof typeof KdfPurpose];

/**
 * A passphrase in UTF-8 as the terminated BMPString that PKCS #12 wants (RFC 7292 appendix B.1),
 * made without a string that could not be wiped. Throws `CertificateError` for bytes that are not
 * UTF-8.
 */
export function toBmpString(utf8: Uint8Array): Uint8Array {
  const units: number[] = [];
  for (let offset = 0; offset < utf8.length;) {
    const [codePoint, length] = decodeCodePoint(utf8, offset);
    offset += length;
    if (codePoint >= 0x10000) {
      const pair = codePoint - 0x10000;
      units.push(0xd800 | (pair >> 10), 0xdc00 | (pair & 0x3ff));
    } else {
      units.push(codePoint);
    }
  }
  const out = Buffer.alloc(units.length * 2 + 2);
  for (const [index, unit] of units.entries()) out.writeUInt16BE(unit, index * 2);
  units.fill(0);
  return out;
}

/** Reads an iteration count and refuses one that would keep us busy for minutes. */
export function readIterations(reader: DerReader): number {
  const iterations = reader.smallInteger();
  if (iterations < 1 || iterations > MAX_ITERATIONS) {
    throw unsupported(`asks for ${String(iterations)} iterations`);
  }
  return iterations;
}

export function unsupported(problem: string): CertificateError {
  const message = `the PKCS #12 file ${problem}`;
  return new CertificateError('bad_certificate', 'unsupported_pkcs12', message);
}

export function wrongPassphrase(): CertificateError {
  const message = 'the PKCS #12 file does not open with this passphrase';
  return new CertificateError('bad_certificate', 'wrong_passphrase', message);
}

interface CipherKey {
  readonly cipher: string;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

function deriveKey(algorithm: DerReader, passphrase: Uint8Array): CipherKey {
  const oid = algorithm.objectIdentifier();
  if (oid === oids.pbes2) return deriveKeyPbes2(algorithm.enter(Tag.sequence), passphrase);
  if (oid !== oids.pbeWithSha1And3Des) {
    throw unsupported(`uses the encryption ${dottedOid(oid)}; write it anew with AES`);
  }
  const parameters = algorithm.enter(Tag.sequence);
  const salt = parameters.content(Tag.octetString);
  const iterations = readIterations(parameters);
  const password = toBmpString(passphrase);
  try {
    return {
      cipher: 'des-ede3-cbc',
      key: pkcs12Kdf('sha1', KdfPurpose.key, password, salt, iterations, 24),
      iv: pkcs12Kdf('sha1', KdfPurpose.iv, password, salt, iterations, 8),
    };
  } finally {
    wipe(password);
  }
}

/*
 * PBES2-params ::= SEQUENCE { keyDerivationFunc AlgorithmIdentifier, encryptionScheme AlgorithmIdentifier }
 * PBKDF2-params ::= SEQUENCE { salt OCTET STRING, iterationCount INTEGER, keyLength INTEGER OPTIONAL,
 *   prf AlgorithmIdentifier DEFAULT hmacWithSHA1 }
 */
function deriveKeyPbes2(parameters: DerReader, passphrase: Uint8Array): CipherKey {
  const kdf = parameters.enter(Tag.sequence);
  const kdfOid = kdf.objectIdentifier();
  if (kdfOid !== oids.pbkdf2) throw unsupported(`derives keys by ${dottedOid(kdfOid)}`);
  const pbkdf2 = kdf.enter(Tag.sequence);
  const salt = pbkdf2.content(Tag.octetString);
  const iterations = readIterations(pbkdf2);
  if (pbkdf2.next(Tag.integer)) pbkdf2.smallInteger();
  const prfOid = pbkdf2.enterOptional(Tag.sequence)?.objectIdentifier();
  const digest = prfOid === undefined ? 'sha1' : prfs.get(prfOid);
  if (digest === undefined) throw unsupported('derives keys by an unknown function');
  const scheme = parameters.enter(Tag.sequence);
  const schemeOid = scheme.objectIdentifier();
  const cipher = ciphers.get(schemeOid);
  if (cipher === undefined) throw unsupported(`uses the encryption ${dottedOid(schemeOid)}`);
  const iv = scheme.content(Tag.octetString);
  if (iv.length !== cipher.ivBytes) throw unsupported('has an initialisation vector of odd length');
  const key = pbkdf2Sync(passphrase, salt, iterations, cipher.keyBytes, digest);
  return { cipher: cipher.name, key, iv };
}

/** Copies of `bytes`, cut to a multiple of the block (RFC 7292 appendix B.2, steps 2, 3 and 6.B). */
function fillBlocks(bytes: Uint8Array, blockBytes: number, length?: number): Uint8Array {
  const out = Buffer.alloc(length ?? Math.ceil(bytes.length / blockBytes) * blockBytes);
  for (let index = 0; index < out.length; index += 1) out[index] = bytes[index % bytes.length] ?? 0;
  return out;
}

/** Adds `addend` + 1 to each block, as big-endian numbers (step 6.C). */
function addToBlocks(blocks: Uint8Array, addend: Uint8Array): void {
  for (let start = 0; start < blocks.length; start += addend.length) {
    let carry = 1;
    for (let index = addend.length - 1; index >= 0; index -= 1) {
      carry += (blocks[start + index] ?? 0) + (addend[index] ?? 0);
      blocks[start + index] = carry & 0xff;
      carry >>= 8;
    }
  }
  wipe(addend);
}

function decodeCodePoint(utf8: Uint8Array, offset: number): readonly [number, number] {
  const first = utf8[offset] ?? 0;
  if (first < 0x80) return [first, 1];
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  let codePoint = first & (0xff >> (length + 1));
  for (let index = 1; index < length; index += 1) {
    const next = utf8[offset + index] ?? 0;
    if ((next & 0xc0) !== 0x80) throw unsupported('needs a passphrase in UTF-8');
    codePoint = (codePoint << 6) | (next & 0x3f);
  }
  if (first < 0xc2 || codePoint > 0x10ffff) throw unsupported('needs a passphrase in UTF-8');
  return [codePoint, length];
}

/** Some seconds of work: more than any program asks for. */
const MAX_ITERATIONS = 2_000_000;

const oids = {
  pbes2: oidKey('1.2.840.113549.1.5.13'),
  pbkdf2: oidKey('1.2.840.113549.1.5.12'),
  pbeWithSha1And3Des: oidKey('1.2.840.113549.1.12.1.3'),
} as const;

const prfs = new Map([
  [oidKey('1.2.840.113549.2.7'), 'sha1'],
  [oidKey('1.2.840.113549.2.9'), 'sha256'],
  [oidKey('1.2.840.113549.2.10'), 'sha384'],
  [oidKey('1.2.840.113549.2.11'), 'sha512'],
]);

const ciphers = new Map([
  [oidKey('2.16.840.1.101.3.4.1.2'), { name: 'aes-128-cbc', keyBytes: 16, ivBytes: 16 }],
  [oidKey('2.16.840.1.101.3.4.1.22'), { name: 'aes-192-cbc', keyBytes: 24, ivBytes: 16 }],
  [oidKey('2.16.840.1.101.3.4.1.42'), { name: 'aes-256-cbc', keyBytes: 32, ivBytes: 16 }],
  [oidKey('1.2.840.113549.3.7'), { name: 'des-ede3-cbc', keyBytes: 24, ivBytes: 8 }],
]);
