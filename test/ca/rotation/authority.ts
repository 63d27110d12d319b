import { createPublicKey, randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { equal } from '../../../src/bytes/bytes.ts';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-generation.ts';
import { defaultScheme } from '../../../src/pki/signature-algorithm.ts';
import { encodeToBeSigned, joinSignature } from '../../../src/pki/issue-certificate.ts';
import { signSync } from '../../../src/crypto/signatures.ts';
import type { AuthorityContext } from '../../../src/ca/context.ts';
import { loadGenerations } from '../../../src/ca/generations/live-generations.ts';
import { initialiseAuthority } from '../../../src/ca/initialise-authority.ts';
import {
  type AuthorityKeyType,
  type KeyManager,
  KeyManagerError,
  type SigningKey,
} from '../../../src/ca/keys/key-manager.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import type { Store } from '../../../src/ca/store/store.ts';
import type { TokenKey, TokenKeys } from '../../../src/ca/tokens/token-keys.ts';
import { madeOnce } from '../support/made-once.ts';
import type { StorePlace } from '../support/stores.ts';

/** A clock that stands until it is set. */
export class Clock {
  ms: number;

  constructor(ms = Date.UTC(2026, 0, 1)) {
    this.ms = ms;
  }

  readonly now = (): Date => new Date(this.ms);

  advance(ms: number): void {
    this.ms += ms;
  }
}

/** Keys in memory, shared by all replicas that are given it. */
export class MemoryKeys implements KeyManager {
  readonly kind = 'memory';
  readonly keys = new Map<string, { readonly type: AuthorityKeyType; readonly pair: KeyPair }>();
  /** References that fail when used. */
  readonly broken = new Set<string>();
  #made = 0;

  /** One that knows the same keys. */
  copy(): MemoryKeys {
    const copy = new MemoryKeys();
    for (const [ref, key] of this.keys) copy.keys.set(ref, key);
    copy.#made = this.#made;
    return copy;
  }

  generate(type: AuthorityKeyType) {
    this.#made += 1;
    const ref = `memory:${String(this.#made)}`;
    const pair = generateKeyPair(type);
    this.keys.set(ref, { type, pair });
    return Promise.resolve({ ref, publicKey: pair.publicKey });
  }

  open(ref: string): Promise<SigningKey> {
    const found = this.keys.get(ref);
    if (found === undefined || this.broken.has(ref)) {
      return Promise.reject(new KeyManagerError(`there is no key ${ref}`));
    }
    const { type, pair } = found;
    return Promise.resolve({
      type,
      publicKey: pair.publicKey,
      signAll: (contents: readonly Uint8Array[]) => {
        if (this.broken.has(ref)) return Promise.reject(new KeyManagerError(`${ref} is broken`));
        const scheme = defaultScheme(type);
        return Promise.resolve(contents.map((each) => signSync(pair.privateKey, scheme, each)));
      },
    });
  }

  destroy(ref: string): Promise<void> {
    this.keys.delete(ref);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** One replica of an authority without its services. */
export interface TestAuthority<Keys extends KeyManager = MemoryKeys> {
  readonly context: AuthorityContext;
  readonly tokenKeys: TokenKeys;
  readonly keys: Keys;
  readonly clock: Clock;
}

/** Makes an authority in a place, a copy of one for all, and opens its first replica. */
export async function makeAuthority(place: StorePlace): Promise<TestAuthority> {
  const made = await madeOnce(place, 'rotation', async (url) => {
    const keys = new MemoryKeys();
    await initialise(keys, url, new Clock());
    return keys;
  });
  return await openFirst(place, made.copy());
}

/** As {@link makeAuthority}, with keys elsewhere. */
export async function makeAuthorityWith<Keys extends KeyManager>(
  keys: Keys,
  place: StorePlace,
): Promise<TestAuthority<Keys>> {
  await initialise(keys, place.url, new Clock());
  return await openFirst(place, keys);
}

async function openFirst<Keys extends KeyManager>(
  place: StorePlace,
  keys: Keys,
): Promise<TestAuthority<Keys>> {
  const clock = new Clock();
  const store = await place.open({ now: clock.now });
  return await openReplica(store, { keys, clock });
}

async function initialise(keys: KeyManager, url: string, clock: Clock): Promise<void> {
  await initialiseAuthority({
    store: { url, now: clock.now, log },
    keys,
    trustDomain: 'example.org',
    addresses: ['authority.example.org:8443'],
    random: (length) => randomBytes(length),
    log,
  });
}

/** Another replica, on a store of its own connection or the same. */
export async function openReplica<Keys extends KeyManager>(
  store: Store,
  { keys, clock, id = 'replica-1' }: { keys: Keys; clock: Clock; id?: string },
): Promise<TestAuthority<Keys>> {
  const { trustDomain, epoch } = await readMeta(store.queries);
  const context: AuthorityContext = {
    trustDomain,
    epoch,
    replicaId: id,
    store,
    writer: {
      submit: () => Promise.reject(new Error('nothing is submitted')),
      queued: 0,
      close: () => Promise.resolve(),
    },
    keys,
    generations: await loadGenerations({ queries: store.queries, keys, log }),
    addresses: ['authority.example.org:8443'],
    now: clock.now,
    random: (length) => randomBytes(length),
    log,
  };
  const tokenKeys = new StoredTokenKeys(context);
  await tokenKeys.refresh();
  return { context, tokenKeys, keys, clock };
}

/** A leaf of the issuing CA in charge, with the chain that hosts get. */
export async function issueLeaf(
  { context }: Pick<TestAuthority, 'context'>,
  name: string,
): Promise<{ readonly serial: Uint8Array; readonly chain: readonly Uint8Array[] }> {
  const issuer = context.generations.signing('issuing');
  const serial = randomBytes(16);
  serial[0] = 1;
  const scheme = defaultScheme(issuer.key.type);
  const tbs = encodeToBeSigned(
    {
      subjectAltNames: { uris: [`spiffe://example.org/agent/${name}`] },
      publicKey: generateKeyPair('ecdsa-p256').publicKey,
      serialNumber: serial,
      notBefore: new Date(context.now().getTime() - 60_000),
      notAfter: new Date(context.now().getTime() + LEAF_MS),
      extendedKeyUsage: ['serverAuth', 'clientAuth'],
    },
    issuer.certificate,
    scheme,
  );
  const [signature] = await issuer.key.signAll([tbs]);
  const leaf = joinSignature(tbs, scheme, signature!);
  return { serial, chain: [leaf, ...context.generations.chainOf(issuer)] };
}

/** Of the leaves made here. */
export const LEAF_MS = 86_400_000;

const log = pino({ level: 'silent' });

class StoredTokenKeys implements TokenKeys {
  readonly #context: AuthorityContext;
  #all: readonly TokenKey[] = [];

  constructor(context: AuthorityContext) {
    this.#context = context;
  }

  signing(): never {
    throw new Error('no token is signed');
  }

  find(id: Uint8Array) {
    return this.#all.find((key) => equal(key.id, id) && key.state !== 'retired');
  }

  signerOf({ keyRef }: TokenKey) {
    return this.#context.keys.open(keyRef);
  }

  all() {
    return this.#all;
  }

  async refresh() {
    const rows = await this.#context.store.queries.selectFrom('token_key').selectAll().execute();
    this.#all = rows.map((row) => ({
      id: row.id,
      publicKey: createPublicKey({ key: Buffer.from(row.public_key), format: 'der', type: 'spki' }),
      publicKeyInfo: row.public_key,
      state: row.state,
      keyRef: row.key_ref,
      createdAt: row.created_at,
    }));
  }
}
