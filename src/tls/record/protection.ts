import { aeadTagBytes } from '../../crypto/aead.ts';
import {
  recordCipherProvider,
  recordExpansion,
  recordLimit,
  type RecordCipherParameters,
  type RecordOpenCipher,
  type RecordSealCipher,
} from '../../crypto/record-cipher.ts';
import { TlsAlertError } from '../alert.ts';
import type { CipherSuite } from '../cipher-suites.ts';
import { ContentType, nameOf, ProtocolVersion } from '../registries.ts';
import { maxPlaintextBytes, recordHeaderBytes, writeHeader } from './framing.ts';

/** Everything that protects one direction of a TLS 1.2 connection (RFC 5246 §6.2.3.3). */
export interface RecordProtectionParameters {
  readonly cipherSuite: CipherSuite;
  /** Copied or imported; the caller may wipe it afterwards. */
  readonly key: Uint8Array;
  readonly fixedNonce: Uint8Array;
  readonly sequenceNumber: bigint;
  /** `native`: Node's own libcrypto by foreign calls. Absent: native where its self-test passed. */
  readonly provider?: 'native' | 'node' | undefined;
}

/** Writes protected records. A failure poisons it: every later call throws. */
export interface RecordSealer {
  /** Bytes a record is longer than its plaintext, header included. */
  readonly overhead: number;
  readonly sequenceNumber: bigint;
  /**
   * Records that may still be written before the key should be retired; sealing does not stop at 0,
   * so that close_notify can be sent. Infinite where only the sequence number ends.
   */
  readonly recordsLeft: number;
  /**
   * Writes one whole record (header and body) holding `plaintext` (at most 2^14 bytes) into
   * `target` at `offset`; returns the bytes written.
   */
  seal(type: ContentType, plaintext: Uint8Array, target: Uint8Array, offset: number): number;
  /** A good moment, while nothing waits, to do work for the next record; may be left out. */
  prepare(): void;
  free(): void;
}

/** Reads protected records. A failure poisons it. */
export interface RecordOpener {
  readonly sequenceNumber: bigint;
  /**
   * The plaintext of one whole record (header and body). May decrypt in place: `record` is lost, and
   * the result may be a view of it. Throws `TlsAlertError`; nothing unauthenticated is released.
   */
  open(record: Uint8Array): Uint8Array;
  /** A good moment, while nothing waits, to do work for the next record; may be left out. */
  prepare(): void;
  free(): void;
}

/**
 * Protection of what we write. Throws `RangeError` for a key or nonce that does not fit the suite,
 * and `Error` if the provider asked for does not work here.
 */
export function createRecordSealer(parameters: RecordProtectionParameters): RecordSealer {
  const cipher = recordCipherProvider(parameters.provider).createSealCipher(
    cipherParameters(parameters),
  );
  return new AeadSealer(cipher, parameters.cipherSuite);
}

/** Protection of what the peer writes; see {@link createRecordSealer}. */
export function createRecordOpener(parameters: RecordProtectionParameters): RecordOpener {
  const cipher = recordCipherProvider(parameters.provider).createOpenCipher(
    cipherParameters(parameters),
  );
  return new AeadOpener(cipher);
}

class AeadSealer implements RecordSealer {
  readonly overhead: number;
  recordsLeft: number;
  readonly #cipher: RecordSealCipher;
  readonly #expansion: number;
  #poisoned = false;

  constructor(cipher: RecordSealCipher, { aead }: CipherSuite) {
    this.#cipher = cipher;
    this.#expansion = recordExpansion(aead);
    this.overhead = recordHeaderBytes + this.#expansion;
    this.recordsLeft = recordLimit(aead);
  }

  get sequenceNumber(): bigint {
    return this.#cipher.sequenceNumber;
  }

  seal(type: ContentType, plaintext: Uint8Array, target: Uint8Array, offset: number): number {
    if (this.#poisoned) throw new Error('record protection has failed or was freed');
    const bodyBytes = plaintext.length + this.#expansion;
    const end = offset + recordHeaderBytes + bodyBytes;
    if (plaintext.length > maxPlaintextBytes) {
      throw new RangeError(`plaintext of ${String(plaintext.length)} bytes does not fit a record`);
    }
    if (end > target.length) throw new RangeError('record does not fit the target');
    try {
      this.#cipher.seal(type, plaintext, target.subarray(offset + recordHeaderBytes, end));
    } catch (error) {
      this.#poisoned = true;
      throw error;
    }
    writeHeader(target, offset, type, ProtocolVersion.tls12, bodyBytes);
    this.recordsLeft = Math.max(0, this.recordsLeft - 1);
    return end - offset;
  }

  prepare(): void {
    if (!this.#poisoned) this.#cipher.prepare();
  }

  free(): void {
    this.#poisoned = true;
    this.#cipher.free();
  }
}

class AeadOpener implements RecordOpener {
  readonly #cipher: RecordOpenCipher;
  #poisoned = false;

  constructor(cipher: RecordOpenCipher) {
    this.#cipher = cipher;
  }

  get sequenceNumber(): bigint {
    return this.#cipher.sequenceNumber;
  }

  open(record: Uint8Array): Uint8Array {
    if (this.#poisoned) throw new Error('record protection has failed or was freed');
    // Whatever goes wrong below poisons; only the last line lifts it again.
    this.#poisoned = true;
    const body = record.subarray(recordHeaderBytes);
    const type = record[0] ?? 0;
    const minBytes = this.#cipher.explicitNonceBytes + aeadTagBytes;
    if (body.length > minBytes + maxPlaintextBytes) {
      throw new TlsAlertError('record_overflow', `record body of ${String(body.length)} bytes`);
    }
    // RFC 5246 §7.2.2: bad_record_mac for every way in which a record cannot be deprotected.
    const plaintext = body.length < minBytes ? undefined : this.#cipher.open(type, body);
    if (plaintext === undefined) {
      throw new TlsAlertError('bad_record_mac', 'record is not authentic');
    }
    if (plaintext.length === 0 && type !== ContentType.application_data) {
      throw new TlsAlertError('unexpected_message', `empty ${nameOf(ContentType, type)} record`);
    }
    this.#poisoned = false;
    return plaintext;
  }

  prepare(): void {
    if (!this.#poisoned) this.#cipher.prepare();
  }

  free(): void {
    this.#poisoned = true;
    this.#cipher.free();
  }
}

function cipherParameters({
  cipherSuite,
  key,
  fixedNonce,
  sequenceNumber,
}: RecordProtectionParameters): RecordCipherParameters {
  if (key.length !== cipherSuite.keyLength || fixedNonce.length !== cipherSuite.fixedNonceLength) {
    throw new RangeError(`key or nonce of wrong length for ${cipherSuite.name}`);
  }
  return { aead: cipherSuite.aead, key, fixedNonce, sequenceNumber };
}
