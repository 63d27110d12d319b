import { createHash, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import {
  type AuthorityFacts,
  authorizeOwner,
  createAdministration,
  type MintOrder,
  type TokenMint,
} from '../../../src/ca/administration/index.ts';
import type { AuthorityContext } from '../../../src/ca/context.ts';
import { loadGenerations } from '../../../src/ca/generations/live-generations.ts';
import { initialiseAuthority } from '../../../src/ca/initialise-authority.ts';
import { CryptoPool } from '../../../src/ca/keys/crypto-pool.ts';
import { openDiskKeys } from '../../../src/ca/keys/disk-keys.ts';
import { createRotation } from '../../../src/ca/rotation/create-rotation.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import type { NewRow } from '../../../src/ca/store/schema.ts';
import { loadTokenKeys } from '../../../src/ca/tokens/live-token-keys.ts';
import { createBatchWriter } from '../../../src/ca/write/batch-writer.ts';
import { AdministrationServiceService } from '../../../src/gen/sidekey/v1/administration.ts';
import { createPeerCredentialsReader } from '../../../src/rpc/peer-credentials.ts';
import { RpcServer } from '../../../src/rpc/server.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';

/** What a test may change about the authority it administers. */
export interface AdministeredOptions {
  readonly now?: () => Date;
  readonly facts?: Partial<AuthorityFacts>;
  /** The uid the authority believes to be its own. */
  readonly ownUid?: number;
  readonly mint?: TokenMint;
  /** Of an empty store; absent: SQLite in the directory. */
  readonly storeUrl?: string;
}

/** An authority on SQLite with its administration socket, all in this process. */
export interface AdministeredAuthority {
  readonly directory: string;
  /** `unix:PATH`. */
  readonly address: string;
  readonly context: AuthorityContext;
  /** Orders that were minted. */
  readonly minted: readonly MintOrder[];
  close(): Promise<void>;
}

export async function startAdministeredAuthority(
  options: AdministeredOptions = {},
): Promise<AdministeredAuthority> {
  const directory = await mkdtemp(join(tmpdir(), 'sidekey-administration-'));
  const now = options.now ?? (() => new Date());
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openDiskKeys({ directory: join(directory, 'keys'), pool, random });
  const url = options.storeUrl ?? `sqlite:${join(directory, 'authority.db')}`;
  const storeOptions = { url, now, log };
  if (options.storeUrl === undefined) {
    await cp(await madeAt(now), directory, { recursive: true });
  } else {
    await initialiseAuthority({ store: storeOptions, keys, trustDomain, addresses, random, log });
  }
  const store = await openStore(storeOptions);
  const { queries } = store;
  const generations = await loadGenerations({ queries, keys, log });
  const tokenKeys = await loadTokenKeys({ queries, keys, pool, log });
  const writer = createBatchWriter({ store, log });
  const { epoch } = await readMeta(queries);
  const context: AuthorityContext = {
    trustDomain,
    epoch,
    replicaId: 'test-1',
    store,
    writer,
    keys,
    generations,
    addresses,
    now,
    random,
    log,
  };
  const rotation = createRotation({
    context,
    tokenKeys,
    version: 'test',
    settings: { automatic: false },
  });
  const facts: AuthorityFacts = {
    version: 'test',
    enrolmentMode: 'closed',
    keysProtected: true,
    stateDirectory: directory,
    publicUrl: undefined,
    problems: () => [],
    listeners: () => [],
    ...options.facts,
  };
  const minted: MintOrder[] = [];
  const server = new RpcServer<undefined>({
    maxReceiveBytes: 4 * 1024 * 1024,
    maxConnections: 16,
    maxStreamsPerConnection: 16,
    readCredentials: createPeerCredentialsReader(),
    now,
  });
  server.grpc.addService(
    AdministrationServiceService,
    createAdministration({
      context,
      facts,
      rotation,
      mint: options.mint ?? pretendMint(minted),
      identify: (call) => {
        const uid = server.connection(call.getPeer())?.credentials?.uid;
        return authorizeOwner(uid, options.ownUid ?? process.getuid!());
      },
    }),
  );
  const path = join(directory, 'authority.sock');
  await server.listen({
    address: { kind: 'unix', path },
    access: { mode: 0o600 },
    listener: undefined,
    requireCredentials: true,
    onRefused: () => undefined,
  });
  return {
    directory,
    address: `unix:${path}`,
    context,
    minted,
    close: async () => {
      await server.stopListening();
      server.destroy();
      await rotation.close();
      await writer.close();
      await store.close();
      await keys.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Files of a new authority, made once for each clock: tests take copies. */
async function madeAt(now: () => Date): Promise<string> {
  const moment = now();
  const clock = Math.abs(moment.getTime() - Date.now()) < 3_600_000 ? 'now' : moment.toISOString();
  const known = made.get(clock) ?? make(now);
  made.set(clock, known);
  return await known;
}

async function make(now: () => Date): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sidekey-administration-new-'));
  process.once('exit', () => {
    rmSync(directory, { recursive: true, force: true });
  });
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openDiskKeys({ directory: join(directory, 'keys'), pool, random });
  await initialiseAuthority({
    store: { url: `sqlite:${join(directory, 'authority.db')}`, now, log },
    keys,
    trustDomain,
    addresses,
    random,
    log,
  });
  await keys.close();
  return directory;
}

const trustDomain = 'example.org';
const addresses = ['ca.example.org:8443'];
const log = pino({ level: 'silent' });
const random = (length: number): Uint8Array => randomBytes(length);
const made = new Map<string, Promise<string>>();

/** Bundles of no use, in pieces of three, for what happens around them. */
function pretendMint(minted: MintOrder[]): TokenMint {
  return {
    async *mint(order) {
      minted.push(order);
      const batch = randomBytes(16);
      if (order.policy === 'no-such-policy') {
        throw new ServiceError('NOT_FOUND', 'policy_unknown', 'there is no such policy');
      }
      for (let created = 0; created < order.count;) {
        const size = Math.min(3, order.count - created);
        created += size;
        const bundles = Array.from({ length: size }, () => {
          const tokenId = randomBytes(16);
          return { tokenId, file: Buffer.from(`bundle of ${tokenId.toString('hex')}\n`) };
        });
        yield await Promise.resolve({ batch, bundles, created });
      }
    },
    recover: ({ agent }) =>
      Promise.resolve(Buffer.from(`recovery of ${Buffer.from(agent).toString('hex')}\n`)),
  };
}

/** What {@link plantAgent} may be told. */
export interface Planted {
  readonly state?: NewRow<'agent'>['state'];
  readonly properties?: Readonly<Record<string, string>>;
  readonly enrolledAt?: number;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly report?: string;
  readonly batch?: Uint8Array;
}

/** An agent with its token and certificate, as enrolling would leave it in the store. */
export async function plantAgent(
  { context }: AdministeredAuthority,
  planted: Planted = {},
): Promise<{ id: Buffer; serial: Buffer; token: Buffer; spiffeId: string }> {
  const id = randomBytes(16);
  const serial = randomBytes(16);
  const now = context.now().getTime();
  const enrolledAt = planted.enrolledAt ?? now;
  const notAfter = planted.notAfter ?? enrolledAt + 86_400_000;
  const spiffeId = `spiffe://example.org/agent/${id.toString('hex')}`;
  const { properties = {}, batch } = planted;
  const token = await plantToken(context, {
    properties,
    uses: 1,
    ...(batch === undefined ? {} : { batch }),
  });
  const issuer = context.generations.signing('issuing').id;
  const activated = planted.state !== 'enrolled';
  await context.store.transact(async (transaction) => {
    const { queries } = transaction;
    await queries
      .insertInto('agent')
      .values({
        id,
        role: 'agent',
        spiffe_id: spiffeId,
        state: planted.state ?? 'active',
        state_at: enrolledAt,
        state_by: 'policy',
        state_why: null,
        properties: JSON.stringify(properties),
        policy: 'default',
        policy_version: 1,
        generation: 1,
        current_serial: serial,
        pending_serial: null,
        not_after: notAfter,
        source_token: token,
        enrolled_at: enrolledAt,
        activated_at: activated ? enrolledAt : null,
        activated_by: activated ? 'policy' : null,
        last_seen_at: now,
        bundle_ack: 1,
        feed_ack: 1_000_000,
        tls_policy_ack: 0,
        report: planted.report ?? null,
      })
      .execute();
    await plantProperties(transaction.queries, 'agent', id, properties);
    await queries
      .insertInto('certificate')
      .values({
        serial,
        issuer,
        agent: id,
        agent_generation: 1,
        role: 'agent',
        purpose: 'tls',
        state: 'confirmed',
        key_hash: createHash('sha256').update(id).digest(),
        not_before: planted.notBefore ?? enrolledAt,
        not_after: notAfter,
        der: Buffer.from('3003020101', 'hex'),
        token,
        policy: 'default',
        policy_version: 1,
        replaces: null,
        issued_at: enrolledAt,
        confirmed_at: enrolledAt,
        request: randomBytes(16),
      })
      .execute();
    await queries
      .insertInto('redemption')
      .values({
        token,
        key_hash: createHash('sha256').update(id).digest(),
        slot: 0,
        agent: id,
        serial,
        at: enrolledAt,
        source: '192.0.2.1',
      })
      .execute();
  });
  return { id, serial, token, spiffeId };
}

/** A token as minting leaves it. */
export async function plantToken(
  context: AuthorityContext,
  planted: {
    readonly properties?: Readonly<Record<string, string>>;
    readonly uses?: number;
    readonly batch?: Uint8Array;
    readonly expiresAt?: number;
    readonly createdAt?: number;
  } = {},
): Promise<Buffer> {
  const id = randomBytes(16);
  const now = context.now().getTime();
  const { properties = {} } = planted;
  await context.store.transact(async ({ queries }) => {
    const key = await queries.selectFrom('token_key').select('id').executeTakeFirstOrThrow();
    await queries
      .insertInto('token')
      .values({
        id,
        kind: 'enroll',
        key_id: key.id,
        state: 'active',
        cap: 1,
        uses: planted.uses ?? 0,
        expires_at: planted.expiresAt ?? now + 86_400_000,
        batch: planted.batch ?? null,
        role: 'agent',
        policy: 'default',
        policy_version: 1,
        properties: JSON.stringify(properties),
        agent: null,
        generation: null,
        created_at: planted.createdAt ?? now,
        created_by: 'owner',
        revoked_at: null,
        revoked_by: null,
        revoked_why: null,
      })
      .execute();
    await plantProperties(queries, 'token', id, properties);
  });
  return id;
}

async function plantProperties(
  queries: AuthorityContext['store']['queries'],
  kind: 'agent' | 'token',
  subject: Uint8Array,
  properties: Readonly<Record<string, string>>,
): Promise<void> {
  const rows = Object.entries(properties).map(([name, value]) => ({
    name,
    value,
    subject_kind: kind,
    subject,
  }));
  if (rows.length > 0) await queries.insertInto('property').values(rows).execute();
}
