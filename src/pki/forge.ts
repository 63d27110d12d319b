/*
 * The one place that imports node-forge. It reads the BER of PKCS #12 files, which OpenSSL's
 * bindings in Node do not, and derives the keys their MAC and certificates need (RFC 7292 appendix
 * B, RFC 8018 §5.2). Its values are strings of one character per byte, which nobody can wipe: what
 * goes in is a passphrase, what is public, or what is still encrypted, never a private key. So its
 * own `pkcs12FromAsn1`, which decrypts keys, is not for us, nor are its ciphers.
 */
import forge from 'node-forge';
import { DerError } from './der.ts';

/** One ASN.1 value, read from BER: indefinite lengths and octet strings in pieces are fine. */
export class BerValue {
  readonly #node: forge.asn1.Asn1;

  private constructor(node: forge.asn1.Asn1) {
    this.#node = node;
  }

  /** Throws `DerError` for bytes that are not exactly one value. */
  static parse(bytes: Uint8Array): BerValue {
    try {
      return new BerValue(asn1.fromDer(toBinary(bytes)));
    } catch (error) {
      throw new DerError('is not in BER', { cause: error });
    }
  }

  get isSequence(): boolean {
    return this.#is(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE);
  }

  get isInteger(): boolean {
    return this.#is(asn1.Class.UNIVERSAL, asn1.Type.INTEGER);
  }

  sequence(): BerItems {
    if (!this.isSequence) throw new DerError('lacks a sequence');
    return this.#items();
  }

  /** What `[0] EXPLICIT` holds. */
  explicit(): BerValue {
    if (!this.#isTagged) throw new DerError('lacks a tagged value');
    return this.#items().next();
  }

  objectIdentifier(): string {
    const isOid = this.#is(asn1.Class.UNIVERSAL, asn1.Type.OID);
    if (!isOid) throw new DerError('lacks an object identifier');
    return asn1.derToOid(forge.util.createBuffer(primitive(this.#node)));
  }

  /** A number from 0 to 2^31 - 1. */
  integer(): number {
    const bytes = this.isInteger ? fromBinary(primitive(this.#node)) : Buffer.alloc(0);
    if (bytes.length < 1 || bytes.length > 4) throw new DerError('lacks a small number');
    const value = bytes.readIntBE(0, bytes.length);
    if (value < 0) throw new DerError('has a negative number');
    return value;
  }

  octetString(): Uint8Array {
    const isOctetString = this.#is(asn1.Class.UNIVERSAL, asn1.Type.OCTETSTRING);
    if (!isOctetString) throw new DerError('lacks an octet string');
    return fromBinary(octets(this.#node));
  }

  /** The octets of `[0] IMPLICIT OCTET STRING`. */
  implicitOctetString(): Uint8Array {
    if (!this.#isTagged) throw new DerError('lacks a tagged value');
    return fromBinary(octets(this.#node));
  }

  toDer(): Uint8Array {
    return fromBinary(asn1.toDer(inOnePiece(this.#node)).getBytes());
  }

  get #isTagged(): boolean {
    // The type of a tagged value is the number of its tag; `NONE` is 0.
    return this.#is(asn1.Class.CONTEXT_SPECIFIC, asn1.Type.NONE);
  }

  #is(tagClass: forge.asn1.Class, type: forge.asn1.Type): boolean {
    return this.#node.tagClass === tagClass && this.#node.type === type;
  }

  #items(): BerItems {
    return new BerItems(children(this.#node).map((child) => new BerValue(child)));
  }
}

/** The values in a sequence, to be taken one after the other. */
export class BerItems {
  readonly #values: readonly BerValue[];
  #taken = 0;

  constructor(values: readonly BerValue[]) {
    this.#values = values;
  }

  get done(): boolean {
    return this.#taken === this.#values.length;
  }

  /** The next value; it stays the next one. */
  peek(): BerValue | undefined {
    return this.#values[this.#taken];
  }

  /** Throws `DerError` if there is none. */
  next(): BerValue {
    const value = this.peek();
    if (value === undefined) throw new DerError('lacks a value');
    this.#taken += 1;
    return value;
  }

  /** Throws `DerError` if any are left. */
  end(): void {
    if (!this.done) throw new DerError('has more values than it should');
  }
}

/** The hash functions of PKCS #12 files. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** What derived bytes are for (RFC 7292 appendix B.3). */
export const KdfPurpose = { key: 1, iv: 2, mac: 3 } as const;
export type KdfPurpose = (typeof KdfPurpose)[keyof typeof KdfPurpose];

export interface Derivation {
  readonly hash: HashName;
  readonly salt: Uint8Array;
  /** Checked by the caller: forge would go on for hours. */
  readonly iterations: number;
}

/** HMAC under a key from a passphrase (RFC 7292 appendix B.4). */
export function pkcs12Mac(
  content: Uint8Array,
  passphrase: string,
  derivation: Derivation,
): Uint8Array {
  const { digestLength } = digests[derivation.hash]();
  const key = deriveKey(passphrase, KdfPurpose.mac, digestLength, derivation);
  const hmac = forge.hmac.create();
  hmac.start(digests[derivation.hash](), key);
  hmac.update(toBinary(content));
  return fromBinary(hmac.getMac().getBytes());
}

/** Key derivation of PKCS #12 (RFC 7292 appendix B.2). */
export function pkcs12Kdf(
  passphrase: string,
  purpose: KdfPurpose,
  length: number,
  derivation: Derivation,
): Uint8Array {
  return fromBinary(deriveKey(passphrase, purpose, length, derivation).getBytes());
}

/** PBKDF2 (RFC 8018 §5.2); here a passphrase is bytes, and no UTF-16. */
export function pbkdf2(passphrase: Uint8Array, length: number, derivation: Derivation): Uint8Array {
  const { hash, salt, iterations } = derivation;
  // By its name the hash is OpenSSL's, ten times faster than with an object of forge.
  const key = forge.pkcs5.pbkdf2(toBinary(passphrase), toBinary(salt), iterations, length, hash);
  return fromBinary(key);
}

function deriveKey(
  passphrase: string,
  purpose: KdfPurpose,
  length: number,
  { hash, salt, iterations }: Derivation,
): forge.util.ByteBuffer {
  const binarySalt = forge.util.createBuffer(toBinary(salt));
  const { generateKey } = forge.pkcs12;
  return generateKey(passphrase, binarySalt, purpose, iterations, length, digests[hash]());
}

function children({ value }: forge.asn1.Asn1): readonly forge.asn1.Asn1[] {
  if (typeof value === 'string') throw new DerError('has a value without parts');
  return value;
}

function primitive({ value }: forge.asn1.Asn1): string {
  if (typeof value !== 'string') throw new DerError('has a value in parts');
  return value;
}

/** In one piece, or, from writers of BER, in several (X.690 §8.7.3). */
function octets(node: forge.asn1.Asn1): string {
  if (typeof node.value === 'string') return node.value;
  return node.value.map((piece) => octetsOfPiece(piece)).join('');
}

function octetsOfPiece(piece: forge.asn1.Asn1): string {
  if (!isOctetString(piece)) throw new DerError('has a piece that is no octet string');
  return octets(piece);
}

/** forge makes lengths definite, but leaves octet strings in pieces. */
function inOnePiece(node: forge.asn1.Asn1): forge.asn1.Asn1 {
  if (typeof node.value === 'string') return node;
  if (isOctetString(node)) return asn1.create(node.tagClass, node.type, false, octets(node));
  return asn1.create(node.tagClass, node.type, true, node.value.map(inOnePiece));
}

function isOctetString({ tagClass, type }: forge.asn1.Asn1): boolean {
  return tagClass === asn1.Class.UNIVERSAL && type === asn1.Type.OCTETSTRING;
}

function toBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** In memory of its own, not in Node's pool. */
function fromBinary(binary: string): Buffer {
  const bytes = Buffer.alloc(binary.length);
  bytes.write(binary, 'latin1');
  return bytes;
}

const { asn1 } = forge;

const digests: Readonly<Record<HashName, () => forge.md.MessageDigest>> = {
  sha1: () => forge.md.sha1.create(),
  sha256: () => forge.md.sha256.create(),
  sha384: () => forge.md.sha384.create(),
  sha512: () => forge.md.sha512.create(),
};
