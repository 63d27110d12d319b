import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { checkInvariants, type Violation } from '../../../src/ca/check/check.ts';
import type { AuthorityContext } from '../../../src/ca/context.ts';
import { loadGenerations } from '../../../src/ca/generations/live-generations.ts';
import { CryptoPool } from '../../../src/ca/keys/crypto-pool.ts';
import { openDiskKeys } from '../../../src/ca/keys/disk-keys.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import type { NewRow } from '../../../src/ca/store/schema.ts';
import type { Store } from '../../../src/ca/store/store.ts';
import { createBatchWriter } from '../../../src/ca/write/batch-writer.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { type Certificate, parseCertificate } from '../../../src/pki/certificate.ts';
import { encodeToBeSigned, joinSignature } from '../../../src/pki/issue-certificate.ts';
import { chunks } from '../../../src/ca/revocation/order.ts';
import {
  type EnrolmentRows,
  type SeededAuthority,
  token,
  writeEnrolments,
} from '../support/rows.ts';
import { newAuthority } from '../support/new-authority.ts';
import type { StorePlace } from '../support/stores.ts';

/** An authority without its services, with a clock that is set by hand. */
export interface TrustAuthority {
  readonly context: AuthorityContext;
  readonly store: Store;
  readonly clock: { ms: number };
  /** Mints `count` tokens of one batch and enrols a host with each; made-up certificates. */
  enrol(count: number): Promise<EnrolledBatch>;
  /** Enrols one host with a certificate that is real. */
  enrolReal(): Promise<{ readonly rows: EnrolmentRows; readonly certificate: Certificate }>;
  /** What is broken of revocation (I14), of sequences (I15) and of the audit log (I16). */
  violations(): Promise<readonly Violation[]>;
  /** As another replica that shares store and keys. */
  replica(): Promise<AuthorityContext>;
  close(): Promise<void>;
}

export interface EnrolledBatch {
  readonly batch: Uint8Array;
  readonly tokens: readonly NewRow<'token'>[];
  readonly hosts: readonly EnrolmentRows[];
}

/** Makes one in an empty place. */
export async function openTrustAuthority(place: StorePlace): Promise<TrustAuthority> {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-trust-'));
  const clock = { ms: Date.now() };
  const now = (): Date => new Date(clock.ms);
  const log = pino({ level: 'silent' });
  const random = (length: number): Uint8Array => randomBytes(length);
  const pool = new CryptoPool({ threads: 0 });
  const keysDirectory = join(directory, 'keys');
  const storeOptions = { url: place.url, now, log };
  const trustDomain = 'example.org';
  const addresses = ['ca.example.org:8443'];
  await newAuthority(place, { at: now(), addresses, keysDirectory });
  const keys = await openDiskKeys({ directory: keysDirectory, pool, random });
  const closing: (() => Promise<void>)[] = [];

  const openReplica = async (
    replicaId: string,
    shared?: Store,
  ): Promise<AuthorityContext & { readonly store: Store }> => {
    const store = shared ?? (await openStore(storeOptions));
    const generations = await loadGenerations({ queries: store.queries, keys, log });
    const writer = createBatchWriter({ store, log });
    closing.unshift(async () => {
      await writer.close();
      if (shared === undefined) await store.close();
    });
    const { epoch } = await readMeta(store.queries);
    return {
      trustDomain,
      epoch,
      replicaId,
      store,
      writer,
      keys,
      generations,
      addresses,
      now,
      random,
      log,
    };
  };

  const context = await openReplica('replica-1');
  const { store } = context;
  const tokenKey = await store.queries
    .selectFrom('token_key')
    .select('id')
    .executeTakeFirstOrThrow();
  const seeded: SeededAuthority = {
    root: context.generations.signing('root').id,
    issuing: context.generations.signing('issuing').id,
    tokenKey: tokenKey.id,
    epoch: Buffer.from(context.epoch, 'hex'),
  };

  const mint = async (count: number) => {
    const batch = randomBytes(16);
    const tokens = Array.from({ length: count }, () => ({ ...token(seeded, clock.ms), batch }));
    await store.transact(async ({ queries }) => {
      for (const piece of chunks(tokens)) await queries.insertInto('token').values(piece).execute();
    });
    return { batch, tokens };
  };

  const authority: TrustAuthority = {
    context,
    store,
    clock,
    async enrol(count) {
      const { batch, tokens } = await mint(count);
      const hosts: EnrolmentRows[] = [];
      for (const piece of chunks(tokens)) {
        hosts.push(
          ...(await store.transact((transaction) => writeEnrolments(transaction, seeded, piece))),
        );
      }
      return { batch, tokens, hosts };
    },
    async enrolReal() {
      const { hosts } = await authority.enrol(1);
      const [rows] = hosts;
      if (rows === undefined) throw new Error('no host');
      const { agent, certificate } = rows;
      const issuer = context.generations.signing('issuing');
      const toBeSigned = encodeToBeSigned(
        {
          publicKey: generateKeyPair('ecdsa-p256').publicKey,
          serialNumber: certificate.serial,
          subjectAltNames: { uris: [agent.spiffe_id] },
          extendedKeyUsage: ['serverAuth', 'clientAuth'],
          notBefore: new Date(certificate.not_before),
          notAfter: new Date(certificate.not_after),
        },
        issuer.certificate,
        0x0403,
      );
      const [signature = new Uint8Array(0)] = await issuer.key.signAll([toBeSigned]);
      const der = joinSignature(toBeSigned, 0x0403, signature);
      return { rows, certificate: parseCertificate(der) };
    },
    async violations() {
      const all = await checkInvariants(store.queries, { now: now() });
      // Made-up hosts have no grants in the log.
      return all.filter(
        ({ invariant, problem }) =>
          ['I14', 'I15', 'I16'].includes(invariant) && !problem.includes('grant'),
      );
    },
    replica: () =>
      openReplica(
        `replica-${String(closing.length + 1)}`,
        store.kind === 'sqlite' ? store : undefined,
      ),
    async close() {
      for (const close of closing) await close();
      await keys.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return authority;
}
