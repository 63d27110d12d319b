import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../bytes/bytes.ts';
import { generateKeyPair } from '../../crypto/key-generation.ts';
import { keyKindOf } from '../../crypto/keys.ts';
import { writeDurably, syncDirectory } from './durable-file.ts';
import type { CryptoPool } from './crypto-pool.ts';
import type { PooledKey } from './crypto-protocol.ts';
import {
  type AuthorityKeyType,
  type KeyManager,
  KeyManagerError,
  type SigningKey,
} from './key-manager.ts';

export interface DiskKeysOptions {
  /** Owned by the authority, 0700; made if absent. */
  readonly directory: string;
  /** File whose bytes, without the line's end, encrypt the keys. Absent: they are not encrypted. */
  readonly passphrasePath?: string;
  readonly pool: CryptoPool;
  readonly random: (length: number) => Uint8Array;
}

/**
 * Keys as files, one each: PKCS #8 DER, encrypted with AES-256-CBC under PBKDF2 when there is a
 * passphrase ({@link https://www.rfc-editor.org/rfc/rfc8018#section-6.2 | RFC 8018 §6.2}). Bytes of
 * keys are wiped as soon as they are written or read; what stays are `KeyObject`s in the threads.
 *
 * Rejects with {@link KeyManagerError} if directory or passphrase cannot be used.
 */
export async function openDiskKeys(options: DiskKeysOptions): Promise<KeyManager> {
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new KeyManagerError(`cannot make the directory of keys ${options.directory}`, {
      cause: error,
    });
  }
  return new DiskKeys(options, await readPassphrase(options.passphrasePath));
}

class DiskKeys implements KeyManager {
  readonly kind = 'disk';
  readonly #options: DiskKeysOptions;
  readonly #passphrase: Buffer | undefined;
  readonly #open = new Map<string, DiskKey>();

  constructor(options: DiskKeysOptions, passphrase: Buffer | undefined) {
    this.#options = options;
    this.#passphrase = passphrase;
  }

  async generate(type: AuthorityKeyType) {
    const { publicKey, privateKey } = generateKeyPair(type);
    const ref = toHex(this.#options.random(16));
    const der = this.#encode(privateKey);
    try {
      await writeDurably(this.#pathOf(ref), der);
    } catch (error) {
      throw new KeyManagerError(`cannot write key ${ref}`, { cause: error });
    } finally {
      der.fill(0);
    }
    return { ref, publicKey };
  }

  async open(ref: string): Promise<SigningKey> {
    const known = this.#open.get(ref);
    if (known !== undefined) return known;
    const privateKey = this.#decode(ref, await this.#read(ref));
    const type = keyKindOf(privateKey);
    if (type !== 'ecdsa-p256' && type !== 'ecdsa-p384' && type !== 'ed25519') {
      throw new KeyManagerError(`key ${ref} is of a kind authorities do not sign with`);
    }
    const key = new DiskKey(type, privateKey, this.#options.pool);
    this.#open.set(ref, key);
    return key;
  }

  async destroy(ref: string): Promise<void> {
    this.#open.get(ref)?.forget();
    this.#open.delete(ref);
    const path = this.#pathOf(ref);
    try {
      // Overwritten in place first: of little use on a journal or on flash, of none elsewhere.
      await writeDurably(path, Buffer.alloc(256), { mustExist: true });
      await rm(path, { force: true });
      await syncDirectory(this.#options.directory);
    } catch (error) {
      throw new KeyManagerError(`cannot destroy key ${ref}`, { cause: error });
    }
  }

  close(): Promise<void> {
    for (const key of this.#open.values()) key.forget();
    this.#open.clear();
    this.#passphrase?.fill(0);
    return Promise.resolve();
  }

  #encode(privateKey: KeyObject): Buffer {
    const form = { type: 'pkcs8', format: 'der' } as const;
    if (this.#passphrase === undefined) return privateKey.export(form);
    return privateKey.export({ ...form, cipher: 'aes-256-cbc', passphrase: this.#passphrase });
  }

  #decode(ref: string, der: Buffer): KeyObject {
    const form = { key: der, type: 'pkcs8', format: 'der' } as const;
    try {
      return createPrivateKey(
        this.#passphrase === undefined ? form : { ...form, passphrase: this.#passphrase },
      );
    } catch {
      // OpenSSL's reason may quote what it read: it is dropped on purpose.
      const hint =
        this.#passphrase === undefined ? 'is there a passphrase file?' : 'is the passphrase right?';
      throw new KeyManagerError(`key ${ref} cannot be read: ${hint}`);
    } finally {
      der.fill(0);
    }
  }

  async #read(ref: string): Promise<Buffer> {
    try {
      return await readFile(this.#pathOf(ref));
    } catch (error) {
      throw new KeyManagerError(`there is no readable key ${ref}`, { cause: error });
    }
  }

  #pathOf(ref: string): string {
    // References come from the store, and a path from nowhere else.
    if (!/^[0-9a-f]{32}$/.test(ref)) throw new KeyManagerError('not a reference to a key on disk');
    return join(this.#options.directory, `${ref}.key`);
  }
}

class DiskKey implements SigningKey {
  readonly type: AuthorityKeyType;
  readonly publicKey: KeyObject;
  readonly #pool: CryptoPool;
  #key: PooledKey | undefined;

  constructor(type: AuthorityKeyType, privateKey: KeyObject, pool: CryptoPool) {
    this.type = type;
    this.publicKey = createPublicKey(privateKey);
    this.#pool = pool;
    this.#key = pool.addKey(privateKey);
  }

  get pooled(): PooledKey | undefined {
    return this.#key;
  }

  async signAll(contents: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    if (this.#key === undefined) throw new KeyManagerError('this key was closed');
    return await this.#pool.signAll(this.#key, schemes[this.type], contents);
  }

  forget(): void {
    if (this.#key !== undefined) this.#pool.forgetKey(this.#key);
    this.#key = undefined;
  }
}

async function readPassphrase(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new KeyManagerError(`cannot read the passphrase file ${path}`, { cause: error });
  }
  const end = bytes.indexOf(0x0a);
  const line = end === -1 ? bytes : bytes.subarray(0, end);
  const passphrase = Buffer.from(line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
  bytes.fill(0);
  // OpenSSL takes up to 1024 bytes.
  if (passphrase.length === 0 || passphrase.length > 1024) {
    throw new KeyManagerError(
      `the first line of ${path} has to be a passphrase of 1 to 1024 bytes`,
    );
  }
  return passphrase;
}

/** TLS numbers. */
const schemes: Readonly<Record<AuthorityKeyType, number>> = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
  ed25519: 0x0807,
};
