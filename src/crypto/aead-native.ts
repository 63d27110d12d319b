import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { wipe } from '../bytes/bytes.ts';
import { aeadKeyBytes, aeadTagBytes, explicitNonceBytesOf, type AeadAlgorithm } from './aead.ts';
import { nodeProvider } from './aead-node.ts';
import type {
  RecordCipherParameters,
  RecordCipherProvider,
  RecordOpenCipher,
  RecordSealCipher,
} from './record-cipher.ts';
import { requireSameRecords } from './record-cipher-self-test.ts';
import { RecordSequence } from './record-sequence.ts';

/** The provider, or why this process has none. */
export type NativeProviderResult =
  | { readonly ok: true; readonly provider: RecordCipherProvider }
  | { readonly ok: false; readonly reason: unknown };

/**
 * Record ciphers from the libcrypto that Node itself carries, by foreign calls. Loaded and tested
 * against `node:crypto` at the first call; without the package `koffi`, without the symbols, or
 * with a libcrypto that behaves differently there is no such provider. Never throws.
 */
export function loadNativeProvider(): NativeProviderResult {
  loaded ??= tryLoad();
  return loaded;
}

let loaded: NativeProviderResult | undefined;

function tryLoad(): NativeProviderResult {
  try {
    const libcrypto = bindLibcrypto();
    const provider: RecordCipherProvider = {
      name: 'native',
      createSealCipher: (parameters) => new NativeSealCipher(libcrypto, parameters),
      createOpenCipher: (parameters) => new NativeOpenCipher(libcrypto, parameters),
    };
    requireSameRecords(provider, nodeProvider);
    return { ok: true, provider };
  } catch (reason) {
    return { ok: false, reason };
  }
}

/** The few functions we call. Addresses are bigints, 0n or null being none. */
interface Libcrypto {
  readonly newContext: () => unknown;
  readonly freeContext: (context: bigint) => void;
  readonly init: (
    context: bigint,
    cipher: unknown,
    engine: null,
    key: Uint8Array,
    iv: null,
    encrypt: 0 | 1,
  ) => number;
  readonly control: (context: bigint, what: number, arg: number, value: Uint8Array) => number;
  readonly cipher: (
    context: bigint,
    output: Uint8Array,
    input: Uint8Array,
    length: number,
  ) => number;
  /** What a refusal left in OpenSSL's queue would be taken for the error of a later call by Node. */
  readonly clearErrors: () => void;
  /** `EVP_CIPHER` of each AEAD. */
  readonly algorithms: Readonly<Record<AeadAlgorithm, unknown>>;
}

function bindLibcrypto(): Libcrypto {
  // Lazily and not by `import`: applications work without the package, only slower.
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const library = koffi.load(null);
  const pointer = 'void *';
  const algorithm = (name: string): unknown => library.func(name, pointer, [])();
  return {
    newContext: library.func('EVP_CIPHER_CTX_new', pointer, []),
    freeContext: library.func('EVP_CIPHER_CTX_free', 'void', [pointer]),
    init: library.func('EVP_CipherInit_ex', 'int', [
      pointer,
      pointer,
      pointer,
      pointer,
      pointer,
      'int',
    ]),
    control: library.func('EVP_CIPHER_CTX_ctrl', 'int', [pointer, 'int', 'int', pointer]),
    cipher: library.func('EVP_Cipher', 'int', [pointer, pointer, pointer, 'uint']),
    clearErrors: library.func('ERR_clear_error', 'void', []),
    algorithms: {
      'aes-128-gcm': algorithm('EVP_aes_128_gcm'),
      'aes-256-gcm': algorithm('EVP_aes_256_gcm'),
      'chacha20-poly1305': algorithm('EVP_chacha20_poly1305'),
    },
  };
}

/**
 * One `EVP_CIPHER_CTX` in TLS mode. OpenSSL takes the additional data of each record and then
 * the whole body in place, does the nonce itself (for GCM from a counter of its own when sealing),
 * and appends or checks the tag.
 */
class NativeContext {
  readonly sequence: RecordSequence;
  readonly explicitNonceBytes: 0 | 8;
  readonly #libcrypto: Libcrypto;
  #address: bigint | undefined;

  constructor(libcrypto: Libcrypto, parameters: RecordCipherParameters, encrypt: 0 | 1) {
    const { aead, key, fixedNonce, sequenceNumber } = parameters;
    this.#libcrypto = libcrypto;
    this.sequence = new RecordSequence(sequenceNumber);
    this.explicitNonceBytes = explicitNonceBytesOf(aead);
    // libcrypto cannot check them: it would read past a short one.
    if (key.length !== aeadKeyBytes[aead] || fixedNonce.length !== 12 - this.explicitNonceBytes) {
      throw new RangeError(`key or nonce of wrong length for ${aead}`);
    }
    const address = libcrypto.newContext();
    if (typeof address !== 'bigint' || address === 0n) throw new Error('no cipher context');
    this.#address = address;
    contexts.register(this, { libcrypto, address }, this);
    const initial = Buffer.alloc(12);
    initial.set(fixedNonce);
    if (this.explicitNonceBytes === 8) initial.set(this.sequence.bytes, 4);
    // For GCM -1 says that the whole nonce is given, its counter included.
    const nonceArgument = this.explicitNonceBytes === 8 ? -1 : 12;
    const ready =
      libcrypto.init(address, libcrypto.algorithms[aead], null, key, null, encrypt) === 1 &&
      libcrypto.control(address, EVP_CTRL_AEAD_SET_IV_FIXED, nonceArgument, initial) === 1;
    wipe(initial);
    if (!ready) throw new Error(`cannot set up ${aead} for TLS records`);
  }

  /**
   * Runs one record through the cipher in place. `length` is what the additional data name: in
   * OpenSSL's convention that of the plaintext to seal, or of the body to open, each with the
   * explicit nonce. False, and nothing left in `body`, if OpenSSL refused.
   */
  process(type: number, length: number, body: Uint8Array): boolean {
    const address = this.#address;
    if (address === undefined) throw new Error('record cipher used after it was freed');
    this.sequence.describe(type, length);
    const { additionalData } = this.sequence;
    const done =
      this.#libcrypto.control(address, EVP_CTRL_AEAD_TLS1_AAD, 13, additionalData) ===
        aeadTagBytes && this.#libcrypto.cipher(address, body, body, body.length) >= 0;
    if (!done) {
      wipe(body);
      this.#libcrypto.clearErrors();
    }
    return done;
  }

  free(): void {
    if (this.#address === undefined) return;
    contexts.unregister(this);
    this.#libcrypto.freeContext(this.#address);
    this.#address = undefined;
  }
}

class NativeSealCipher implements RecordSealCipher {
  readonly #context: NativeContext;

  constructor(libcrypto: Libcrypto, parameters: RecordCipherParameters) {
    this.#context = new NativeContext(libcrypto, parameters, 1);
  }

  get explicitNonceBytes(): 0 | 8 {
    return this.#context.explicitNonceBytes;
  }

  get sequenceNumber(): bigint {
    return this.#context.sequence.value;
  }

  prepare(): void {
    // The context stands ready anyway.
  }

  seal(type: number, plaintext: Uint8Array, body: Uint8Array): void {
    const { explicitNonceBytes, sequence } = this.#context;
    if (body.length !== explicitNonceBytes + plaintext.length + aeadTagBytes) {
      throw new RangeError('body does not fit the plaintext');
    }
    body.set(plaintext, explicitNonceBytes);
    const length = explicitNonceBytes + plaintext.length;
    if (!this.#context.process(type, length, body)) {
      throw new Error('libcrypto refused to seal a record');
    }
    // The peer, and whoever continues after us, rely on the nonce being the sequence number.
    if (explicitNonceBytes === 8 && !startsWith(body, sequence.bytes)) {
      wipe(body);
      throw new Error('libcrypto used another nonce than the sequence number');
    }
    sequence.advance();
  }

  free(): void {
    this.#context.free();
  }
}

class NativeOpenCipher implements RecordOpenCipher {
  readonly #context: NativeContext;

  constructor(libcrypto: Libcrypto, parameters: RecordCipherParameters) {
    this.#context = new NativeContext(libcrypto, parameters, 0);
  }

  get explicitNonceBytes(): 0 | 8 {
    return this.#context.explicitNonceBytes;
  }

  get sequenceNumber(): bigint {
    return this.#context.sequence.value;
  }

  prepare(): void {
    // The context stands ready anyway.
  }

  open(type: number, body: Uint8Array): Uint8Array | undefined {
    const { explicitNonceBytes, sequence } = this.#context;
    const length = body.length - explicitNonceBytes - aeadTagBytes;
    if (length < 0) return undefined;
    if (!this.#context.process(type, body.length, body)) return undefined;
    sequence.advance();
    return body.subarray(explicitNonceBytes, explicitNonceBytes + length);
  }

  free(): void {
    this.#context.free();
  }
}

/** Frees contexts whose owner was dropped without {@link NativeContext.free}. */
const contexts = new FinalizationRegistry<{ libcrypto: Libcrypto; address: bigint }>(
  ({ libcrypto, address }) => {
    libcrypto.freeContext(address);
  },
);

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let index = 0; index < start.length; index += 1) {
    if (bytes[index] !== start[index]) return false;
  }
  return true;
}

/** `EVP_CTRL_GCM_SET_IV_FIXED` by its older name; see OpenSSL's `evp.h`. */
const EVP_CTRL_AEAD_SET_IV_FIXED = 0x12;
const EVP_CTRL_AEAD_TLS1_AAD = 0x16;
