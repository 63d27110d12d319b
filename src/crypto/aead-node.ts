import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type CipherGCM,
  type DecipherGCM,
  type KeyObject,
} from 'node:crypto';
import { equal, wipe } from '../bytes/bytes.ts';
import { aeadTagBytes, explicitNonceBytesOf, type AeadAlgorithm } from './aead.ts';
import type {
  RecordCipherParameters,
  RecordCipherProvider,
  RecordOpenCipher,
  RecordSealCipher,
} from './record-cipher.ts';
import { RecordSequence } from './record-sequence.ts';

/** Record ciphers from Node's public API: a cipher object per record. Works everywhere. */
export const nodeProvider: RecordCipherProvider = {
  name: 'node',
  createSealCipher: (parameters) => new NodeSealCipher(parameters),
  createOpenCipher: (parameters) => new NodeOpenCipher(parameters),
};

/** What both directions hold: the key, and the nonce of the next record. */
class NodeRecordKey {
  readonly explicitNonceBytes: 0 | 8;
  readonly sequence: RecordSequence;
  readonly #aead: AeadAlgorithm;
  /** Nodes with OpenSSL 3.5 take four times as long for a key that is no KeyObject. */
  #key: KeyObject | undefined;
  readonly #fixedNonce: Uint8Array;
  readonly #nonce = Buffer.alloc(12);

  constructor({ aead, key, fixedNonce, sequenceNumber }: RecordCipherParameters) {
    this.#aead = aead;
    this.#key = createSecretKey(key);
    this.#fixedNonce = Uint8Array.from(fixedNonce);
    this.explicitNonceBytes = explicitNonceBytesOf(aead);
    this.sequence = new RecordSequence(sequenceNumber);
  }

  get aead(): AeadAlgorithm {
    return this.#aead;
  }

  get key(): KeyObject {
    if (this.#key === undefined) throw new Error('record cipher used after it was freed');
    return this.#key;
  }

  /**
   * GCM: fixed(4) ‖ explicit(8) (RFC 5288 §3); ChaCha20-Poly1305: fixed(12) XOR 0^4 ‖ seq(8)
   * (RFC 7905 §2). Valid until the next call.
   */
  nonce(explicit: Uint8Array): Uint8Array {
    const nonce = this.#nonce;
    nonce.set(this.#fixedNonce);
    if (this.explicitNonceBytes === 8) {
      nonce.set(explicit, 4);
    } else {
      for (let index = 0; index < 8; index += 1) {
        nonce[4 + index] = (nonce[4 + index] ?? 0) ^ (explicit[index] ?? 0);
      }
    }
    return nonce;
  }

  free(): void {
    this.#key = undefined;
    wipe(this.#fixedNonce, this.#nonce);
  }
}

class NodeSealCipher implements RecordSealCipher {
  readonly #state: NodeRecordKey;
  #ready: CipherGCM | undefined;

  constructor(parameters: RecordCipherParameters) {
    this.#state = new NodeRecordKey(parameters);
  }

  get explicitNonceBytes(): 0 | 8 {
    return this.#state.explicitNonceBytes;
  }

  get sequenceNumber(): bigint {
    return this.#state.sequence.value;
  }

  prepare(): void {
    this.#ready ??= this.#cipher();
  }

  seal(type: number, plaintext: Uint8Array, body: Uint8Array): void {
    const { sequence, explicitNonceBytes } = this.#state;
    sequence.describe(type, plaintext.length);
    const cipher = this.#ready ?? this.#cipher();
    this.#ready = undefined;
    cipher.setAAD(sequence.additionalData, { plaintextLength: plaintext.length });
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    body.set(ciphertext, explicitNonceBytes);
    if (explicitNonceBytes === 8) body.set(sequence.bytes, 0);
    body.set(cipher.getAuthTag(), explicitNonceBytes + ciphertext.length);
    sequence.advance();
  }

  free(): void {
    this.#ready = undefined;
    this.#state.free();
  }

  #cipher(): CipherGCM {
    const { aead, key, sequence } = this.#state;
    const nonce = this.#state.nonce(sequence.bytes);
    // Node types ChaCha20-Poly1305 as a cipher of its own; CipherGCM covers what is used of both.
    return aead === 'chacha20-poly1305'
      ? createCipheriv(aead, key, nonce, tagOption)
      : createCipheriv(aead, key, nonce, tagOption);
  }
}

class NodeOpenCipher implements RecordOpenCipher {
  readonly #state: NodeRecordKey;
  #ready: DecipherGCM | undefined;

  constructor(parameters: RecordCipherParameters) {
    this.#state = new NodeRecordKey(parameters);
  }

  get explicitNonceBytes(): 0 | 8 {
    return this.#state.explicitNonceBytes;
  }

  get sequenceNumber(): bigint {
    return this.#state.sequence.value;
  }

  /** Most peers use the sequence number as explicit nonce; one that does not costs a cipher. */
  prepare(): void {
    this.#ready ??= this.#decipher(this.#state.sequence.bytes);
  }

  open(type: number, body: Uint8Array): Uint8Array | undefined {
    const { sequence, explicitNonceBytes } = this.#state;
    const end = body.length - aeadTagBytes;
    const length = end - explicitNonceBytes;
    if (length < 0) return undefined;
    sequence.describe(type, length);
    const decipher = this.#decipherFor(body);
    decipher.setAAD(sequence.additionalData, { plaintextLength: length });
    decipher.setAuthTag(body.subarray(end));
    const plaintext = decipher.update(body.subarray(explicitNonceBytes, end));
    try {
      decipher.final();
    } catch {
      // The one thing final() of an AEAD can say is that the tag is wrong.
      wipe(plaintext, body);
      return undefined;
    }
    sequence.advance();
    return plaintext;
  }

  free(): void {
    this.#ready = undefined;
    this.#state.free();
  }

  #decipherFor(body: Uint8Array): DecipherGCM {
    const { sequence, explicitNonceBytes } = this.#state;
    const ready = this.#ready;
    this.#ready = undefined;
    if (explicitNonceBytes === 0) return ready ?? this.#decipher(sequence.bytes);
    const explicit = body.subarray(0, explicitNonceBytes);
    if (ready !== undefined && equal(explicit, sequence.bytes)) return ready;
    return this.#decipher(explicit);
  }

  #decipher(explicit: Uint8Array): DecipherGCM {
    const { aead, key } = this.#state;
    const nonce = this.#state.nonce(explicit);
    return aead === 'chacha20-poly1305'
      ? createDecipheriv(aead, key, nonce, tagOption)
      : createDecipheriv(aead, key, nonce, tagOption);
  }
}

const tagOption = { authTagLength: aeadTagBytes } as const;
