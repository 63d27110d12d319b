import type { HostReport } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import { randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import {
  type Authority,
  CryptoPool,
  openAuthority,
  openDiskKeys,
  type PeerIdentity,
} from '../../../src/ca/index.ts';
import type { Issued } from '../../../src/ca/issue/issued.ts';
import { Refused } from '../../../src/ca/issue/refusal.ts';
import { confirmContent, renewalContent } from '../../../src/ca/service/proof.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import type { Role } from '../../../src/ca/store/schema.ts';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-generation.ts';
import type { KeyKind } from '../../../src/crypto/keys.ts';
import { createCertificateRequest, parseCertificate, parsePem } from '../../../src/pki/index.ts';
import { newAuthority } from '../support/new-authority.ts';
import type { StorePlace } from '../support/stores.ts';

/** A clock that tests move. */
export interface TestClock {
  now: () => Date;
  advance(ms: number): void;
}

export function testClock(start = Date.UTC(2026, 10, 22, 12)): TestClock {
  let ms = start;
  return {
    now: () => new Date(ms),
    advance: (by) => {
      ms += by;
    },
  };
}

/** An authority and hosts that talk to it without a network. */
export interface AuthorityFixture {
  readonly authority: Authority;
  readonly clock: TestClock;
  readonly registry: Registry;
  /** Another replica on the same store; PostgreSQL only. */
  replica(): Promise<Authority>;
  /** Closes the authority and opens it again, as another process would. */
  reopen(): Promise<Authority>;
  close(): Promise<void>;
}

export async function authorityOn(
  place: StorePlace,
  options: { readonly mode?: 'open' | 'closed'; readonly threads?: number } = {},
): Promise<AuthorityFixture> {
  const { mode = 'closed', threads = 0 } = options;
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-authority-'));
  const clock = testClock();
  const log = pino({ level: 'silent' });
  const addresses = ['127.0.0.1:8443', 'ca.example.org:8443'];
  const storeOptions = { url: place.url, now: () => clock.now(), log };
  const openKeys = (pool: CryptoPool) =>
    openDiskKeys({ directory: join(directory, 'keys'), pool, random: randomBytes });
  await newAuthority(place, { at: clock.now(), addresses, keysDirectory: join(directory, 'keys') });
  const opened: Authority[] = [];
  const open = async (registry: Registry): Promise<Authority> => {
    const threadPool = new CryptoPool({ threads });
    const authority = await openAuthority({
      store: await openStore(storeOptions),
      keys: await openKeys(threadPool),
      pool: threadPool,
      replicaId: `replica-${String(opened.length + 1)}`,
      addresses,
      version: '0',
      mode,
      connections: { origin: () => undefined, cut: () => undefined },
      registry,
      rotation: { automatic: false },
      now: () => clock.now(),
      random: randomBytes,
      log,
    });
    opened.push(authority);
    return authority;
  };
  const registry = new Registry();
  let authority = await open(registry);
  return {
    get authority() {
      return authority;
    },
    clock,
    registry,
    replica: () => open(new Registry()),
    reopen: async () => {
      await authority.close();
      opened.splice(opened.indexOf(authority), 1);
      authority = await open(new Registry());
      return authority;
    },
    close: async () => {
      for (const one of opened.splice(0)) await one.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** A bundle as a host reads it. */
export interface ReadBundle {
  readonly token: string;
  readonly document: Record<string, unknown>;
  readonly credential: Uint8Array;
  readonly file: Uint8Array;
}

export interface MintOptions {
  readonly role?: Role;
  readonly properties?: Readonly<Record<string, string>>;
  readonly lifetimeMs?: number;
  readonly count?: number;
  readonly cap?: number;
  readonly policy?: string;
  readonly key?: string;
}

export async function mintBundles(
  authority: Authority,
  options: MintOptions = {},
): Promise<readonly ReadBundle[]> {
  const bundles: ReadBundle[] = [];
  const chunks = authority.mint.mint({
    key: options.key ?? randomBytes(8).toString('hex'),
    role: options.role ?? 'agent',
    properties: options.properties ?? {},
    lifetimeMs: options.lifetimeMs ?? 3_600_000,
    count: options.count ?? 1,
    cap: options.cap ?? 1,
    policy: options.policy,
    caller: { name: 'owner', source: 'unix' },
  });
  for await (const chunk of chunks)
    bundles.push(...chunk.bundles.map(({ file }) => readFile(file)));
  return bundles;
}

export function readFile(file: Uint8Array): ReadBundle {
  const [enrolment, certificate] = parsePem(file);
  const document = JSON.parse(Buffer.from(enrolment!.der.subarray(64)).toString());
  return { token: document.token, document, credential: certificate!.der, file };
}

/** Keys of a host and what it got for them. */
export interface TestHost {
  readonly keys: KeyPair;
  readonly issued: Issued;
  readonly serial: Uint8Array;
}

export function csr(keys: KeyPair): Uint8Array {
  return createCertificateRequest(keys);
}

const peerOf = (authority: Authority, leaf: Uint8Array | undefined): PeerIdentity => {
  const peer = authority.identify(leaf);
  if (peer === undefined) throw new Error('the authority does not know this peer');
  return peer;
};

export interface EnrollOptions {
  readonly keys?: KeyPair;
  readonly kind?: KeyKind;
  readonly decryption?: KeyPair;
  readonly source?: string;
  readonly tlsRequest?: Uint8Array;
  readonly peer?: PeerIdentity;
  readonly report?: HostReport;
}

export async function enroll(
  authority: Authority,
  bundle: ReadBundle,
  options: EnrollOptions = {},
): Promise<TestHost> {
  const keys = options.keys ?? generateKeyPair(options.kind ?? 'ecdsa-p256');
  const issued = await authority.issuance.enroll({
    peer: options.peer ?? peerOf(authority, bundle.credential),
    source: options.source ?? '192.0.2.1',
    token: bundle.token,
    tlsRequest: options.tlsRequest ?? csr(keys),
    decryptionRequest: options.decryption === undefined ? Buffer.alloc(0) : csr(options.decryption),
    report: options.report,
  });
  return hostOf(keys, issued);
}

export interface RenewOptions extends EnrollOptions {
  /** Signs in place of the current key. */
  readonly prover?: KeyPair;
  readonly token?: string;
  readonly currentSerial?: Uint8Array;
}

/** Over a connection with the certificate that is renewed, unless `peer` says otherwise. */
export async function renew(
  authority: Authority,
  host: TestHost,
  options: RenewOptions = {},
): Promise<TestHost> {
  const keys = options.keys ?? generateKeyPair(options.kind ?? 'ecdsa-p256');
  const tlsRequest = options.tlsRequest ?? csr(keys);
  const decryptionRequest =
    options.decryption === undefined ? Buffer.alloc(0) : csr(options.decryption);
  const token = options.token ?? host.issued.renewalToken;
  const content = renewalContent(tlsRequest, decryptionRequest, token);
  const issued = await authority.issuance.renew({
    peer: options.peer ?? peerOf(authority, host.issued.tlsChain[0]),
    source: options.source ?? '192.0.2.1',
    token,
    tlsRequest,
    decryptionRequest,
    proof: prove(options.prover ?? host.keys, content),
    currentSerial: options.currentSerial ?? host.serial,
    report: options.report,
  });
  return hostOf(keys, issued);
}

export async function confirm(
  authority: Authority,
  host: TestHost,
  prover: KeyPair = host.keys,
): Promise<void> {
  await authority.issuance.confirm({
    peer: peerOf(authority, host.issued.tlsChain[0]),
    source: '192.0.2.1',
    serial: host.serial,
    proof: prove(prover, confirmContent(host.serial)),
  });
}

/** The precise reason of a refusal, of which the host hears nothing. */
export async function reasonOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof Refused) return error.detail;
    throw error;
  }
  throw new Error('it was not refused');
}

function hostOf(keys: KeyPair, issued: Issued): TestHost {
  return { keys, issued, serial: parseCertificate(issued.tlsChain[0]!).serialNumber };
}

function prove({ privateKey }: KeyPair, content: Uint8Array): Uint8Array {
  if (privateKey.asymmetricKeyType === 'ed25519') return sign(null, content, privateKey);
  return sign('sha256', content, privateKey);
}
