import type { KeyObject } from 'node:crypto';
import { toHex } from '../../bytes/bytes.ts';
import type { Timers } from '../timers.ts';
import {
  type AuthorityKeyType,
  type KeyManager,
  KeyManagerError,
  type SigningKey,
} from './key-manager.ts';
import { Attribute, ObjectClass } from './pkcs11-codes.ts';
import { curveOf, pkcs11Curves, publicKeyOf } from './pkcs11-curves.ts';
import { Pkcs11Module } from './pkcs11-module.ts';
import { encodeTemplate, roomFor, type Template } from './pkcs11-template.ts';
import { Pkcs11Token, ulong, ulongs } from './pkcs11-token.ts';

export interface Pkcs11KeysOptions {
  /** Path of the module, such as `/usr/lib/softhsm/libsofthsm2.so`. */
  readonly modulePath: string;
  /** Of the token. */
  readonly tokenLabel: string;
  /** File with the PIN of the token's user. */
  readonly pinPath: string;
  readonly random: (length: number) => Uint8Array;
  readonly timers: Timers;
  /** For one call. Default 10 s. */
  readonly timeoutMs?: number;
  /** Sessions at once: signatures of a batch are spread over them. Default 2. */
  readonly sessions?: number;
}

/** A key manager that says which keys it can make. */
export interface Pkcs11Keys extends KeyManager {
  supports(type: AuthorityKeyType): boolean;
}

/**
 * Keys on a PKCS #11 token, made there and never extractable. Their references say `pkcs11:` and the
 * CKA_ID in hex. Tries to log in before it resolves; rejects with {@link KeyManagerError} that says
 * what is wrong: no such module or token, PIN refused.
 */
export async function openPkcs11Keys(options: Pkcs11KeysOptions): Promise<Pkcs11Keys> {
  const { modulePath, timers, timeoutMs = 10_000, sessions = 2 } = options;
  const module = await Pkcs11Module.open({ path: modulePath, timers, timeoutMs });
  const token = new Pkcs11Token(module, {
    label: options.tokenLabel,
    pinPath: options.pinPath,
    sessions,
  });
  try {
    const mechanisms = await token.mechanisms();
    await token.use(() => Promise.resolve());
    return new TokenKeys(module, token, mechanisms, { ...options, sessions });
  } catch (error) {
    await module.close();
    throw error;
  }
}

/** Whether a reference is of a key on a token. */
export function isPkcs11Ref(ref: string): boolean {
  return ref.startsWith(PREFIX);
}

class TokenKeys implements Pkcs11Keys {
  readonly kind = 'pkcs11';
  readonly #module: Pkcs11Module;
  readonly #token: Pkcs11Token;
  readonly #mechanisms: ReadonlySet<number>;
  readonly #options: Pkcs11KeysOptions & { readonly sessions: number };

  constructor(
    module: Pkcs11Module,
    token: Pkcs11Token,
    mechanisms: ReadonlySet<number>,
    options: Pkcs11KeysOptions & { readonly sessions: number },
  ) {
    this.#module = module;
    this.#token = token;
    this.#mechanisms = mechanisms;
    this.#options = options;
  }

  supports(type: AuthorityKeyType): boolean {
    const { generate, sign } = pkcs11Curves[type];
    return this.#mechanisms.has(generate) && this.#mechanisms.has(sign);
  }

  async generate(type: AuthorityKeyType) {
    const { tokenLabel, random } = this.#options;
    if (!this.supports(type)) {
      throw new KeyManagerError(`token "${tokenLabel}" cannot have keys of type ${type}`);
    }
    const id = random(16);
    const ref = `${PREFIX}${toHex(id)}`;
    const { generate, parameters } = pkcs11Curves[type];
    const common: Template = [
      [Attribute.token, true],
      [Attribute.id, id],
      [Attribute.label, Buffer.from(`sidekey ${type}`)],
    ];
    // Once: a second attempt could leave a second key behind.
    await this.#token.use(
      async (session) => {
        const forPublic = encodeTemplate(this.#module, [
          ...common,
          [Attribute.ecParams, parameters],
          [Attribute.verify, true],
        ]);
        const forPrivate = encodeTemplate(this.#module, [
          ...common,
          [Attribute.private, true],
          [Attribute.sensitive, true],
          [Attribute.extractable, false],
          [Attribute.sign, true],
        ]);
        await this.#module.call(
          'C_GenerateKeyPair',
          session,
          mechanism(generate),
          forPublic.bytes,
          forPublic.count,
          forPrivate.bytes,
          forPrivate.count,
          Buffer.alloc(8),
          Buffer.alloc(8),
        );
      },
      { repeatable: false },
    );
    try {
      await this.#refuseExtractable(ref);
      return { ref, publicKey: (await this.open(ref)).publicKey };
    } catch (error) {
      await this.destroy(ref);
      throw error;
    }
  }

  async open(ref: string): Promise<SigningKey> {
    const found = await this.#token.use((session) => this.#describe(session, ref));
    return new TokenKey(this.#token, this.#options.sessions, {
      ...found,
      find: (session) => this.#find(session, ref, ObjectClass.privateKey),
      sign: (session, key, content) => this.#sign(session, found.type, key, content),
    });
  }

  async destroy(ref: string): Promise<void> {
    await this.#token.use(async (session) => {
      for (const objectClass of [ObjectClass.privateKey, ObjectClass.publicKey]) {
        for (const handle of await this.#search(session, ref, objectClass)) {
          await this.#module.call('C_DestroyObject', session, handle);
        }
      }
    });
  }

  async close(): Promise<void> {
    await this.#token.close();
    await this.#module.close();
  }

  async #describe(
    session: number,
    ref: string,
  ): Promise<{ readonly type: AuthorityKeyType; readonly publicKey: KeyObject }> {
    await this.#find(session, ref, ObjectClass.privateKey);
    const handle = await this.#find(session, ref, ObjectClass.publicKey);
    const room = roomFor(this.#module, [Attribute.ecParams, Attribute.ecPoint]);
    await this.#module.call('C_GetAttributeValue', session, handle, room.bytes, room.count);
    const type = curveOf(room.read(0));
    if (type === undefined) throw new KeyManagerError(`${ref} is a key of another kind`);
    return { type, publicKey: publicKeyOf(type, room.read(1)) };
  }

  /** A token that makes keys it would give away is not one to keep an authority's keys on. */
  async #refuseExtractable(ref: string): Promise<void> {
    const wanted = [
      [Attribute.sensitive, 1],
      [Attribute.extractable, 0],
      [Attribute.alwaysSensitive, 1],
      [Attribute.neverExtractable, 1],
    ] as const;
    const fits = await this.#token.use(async (session) => {
      const key = await this.#find(session, ref, ObjectClass.privateKey);
      const room = roomFor(
        this.#module,
        wanted.map(([attribute]) => attribute),
      );
      await this.#module.call('C_GetAttributeValue', session, key, room.bytes, room.count);
      return wanted.every(([, value], index) => room.read(index)[0] === value);
    });
    if (fits) return;
    throw new KeyManagerError(
      `token "${this.#options.tokenLabel}" makes keys that can be extracted`,
    );
  }

  async #sign(
    session: number,
    type: AuthorityKeyType,
    key: number,
    content: Uint8Array,
  ): Promise<Uint8Array> {
    const { sign, signatureBytes, prepare, finish } = pkcs11Curves[type];
    const prepared = prepare(content);
    const signature = Buffer.alloc(signatureBytes);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(signatureBytes));
    await this.#module.call('C_SignInit', session, mechanism(sign), key);
    await this.#module.call('C_Sign', session, prepared, prepared.length, signature, length);
    if (ulong(length) !== signatureBytes) {
      throw new KeyManagerError('the token made a signature of another length');
    }
    return finish(signature);
  }

  async #find(session: number, ref: string, objectClass: number): Promise<number> {
    const [handle, ...others] = await this.#search(session, ref, objectClass);
    const where = `on token "${this.#options.tokenLabel}"`;
    if (handle === undefined) throw new KeyManagerError(`there is no key ${ref} ${where}`);
    if (others.length > 0) throw new KeyManagerError(`there are several keys ${ref} ${where}`);
    return handle;
  }

  async #search(session: number, ref: string, objectClass: number): Promise<number[]> {
    const template = encodeTemplate(this.#module, [
      [Attribute.class, objectClass],
      [Attribute.id, idOf(ref)],
    ]);
    await this.#module.call('C_FindObjectsInit', session, template.bytes, template.count);
    const handles = Buffer.alloc(2 * 8);
    const count = Buffer.alloc(8);
    await this.#module.call('C_FindObjects', session, handles, 2, count);
    await this.#module.call('C_FindObjectsFinal', session);
    return ulongs(handles, ulong(count));
  }
}

interface TokenKeyUse {
  readonly type: AuthorityKeyType;
  readonly publicKey: KeyObject;
  /** Handle of the private key. */
  readonly find: (session: number) => Promise<number>;
  readonly sign: (session: number, key: number, content: Uint8Array) => Promise<Uint8Array>;
}

class TokenKey implements SigningKey {
  readonly type: AuthorityKeyType;
  readonly publicKey: KeyObject;
  readonly #token: Pkcs11Token;
  readonly #sessions: number;
  readonly #use: TokenKeyUse;
  #handle: { readonly era: number; readonly key: number } | undefined;

  constructor(token: Pkcs11Token, sessions: number, use: TokenKeyUse) {
    this.type = use.type;
    this.publicKey = use.publicKey;
    this.#token = token;
    this.#sessions = sessions;
    this.#use = use;
  }

  async signAll(contents: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const share = Math.max(1, Math.ceil(contents.length / this.#sessions));
    const shares: (readonly Uint8Array[])[] = [];
    for (let at = 0; at < contents.length; at += share) shares.push(contents.slice(at, at + share));
    const signed = await Promise.all(
      shares.map((each) => this.#token.use((session) => this.#signShare(session, each))),
    );
    return signed.flat();
  }

  async #signShare(session: number, contents: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const { era } = this.#token;
    if (this.#handle?.era !== era) {
      this.#handle = { era, key: await this.#use.find(session) };
    }
    const { key } = this.#handle;
    const signatures: Uint8Array[] = [];
    for (const content of contents) signatures.push(await this.#use.sign(session, key, content));
    return signatures;
  }
}

function idOf(ref: string): Uint8Array {
  const hex = ref.slice(PREFIX.length);
  if (!isPkcs11Ref(ref) || !/^[0-9a-f]{32}$/.test(hex)) {
    throw new KeyManagerError(`${ref} is no key on a PKCS #11 token`);
  }
  return Buffer.from(hex, 'hex');
}

/* typedef struct CK_MECHANISM { CK_MECHANISM_TYPE mechanism; CK_VOID_PTR pParameter; CK_ULONG
 * ulParameterLen; } */
function mechanism(number: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(BigInt(number));
  return bytes;
}

const PREFIX = 'pkcs11:';
