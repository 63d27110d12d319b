import type { Logger } from 'pino';
import { isHostName, isTrustDomain, keyIdentifier } from '../pki/index.ts';
import { exportPublicKeyInfo } from '../pki/issue-certificate.ts';
import { ServiceError } from '../rpc/errors.ts';
import { tokenKeyId } from './bundle/bundle.ts';
import { crashPoint } from './crash-points.ts';
import {
  type CaSigner,
  defaultCaLifetimesMs,
  makeCaCertificate,
} from './generations/ca-certificate.ts';
import type { Generation, SigningGeneration } from './generations/generation.ts';
import type { AuthorityKeyType, KeyManager } from './keys/key-manager.ts';
import { defaultPolicies, issuancePolicy } from './policy/policy.ts';
import { readMeta } from './store/meta.ts';
import { initialiseStore, openStore } from './store/open.ts';
import { StoreError, type StoreOptions } from './store/options.ts';
import type { CaKind } from './store/schema.ts';
import type { Store } from './store/store.ts';
import type { Transaction } from './store/transaction.ts';
import { gatherBundle } from './trust/bundle-material.ts';
import { publishBundle } from './trust/publish-bundle.ts';

/** What a new authority is told. */
export interface InitialiseOptions {
  readonly store: StoreOptions;
  readonly keys: KeyManager;
  /** A host name in lower case, which is the host of all SPIFFE IDs issued. */
  readonly trustDomain: string;
  /** host:port of the enrolment service, as hosts reach it. */
  readonly addresses: readonly string[];
  readonly lifetimesMs?: Readonly<Partial<Record<CaKind, number>>>;
  /** Of the CAs; absent: P-256. */
  readonly keyType?: AuthorityKeyType;
  readonly random: (length: number) => Uint8Array;
  readonly log: Logger;
}

export interface Initialised {
  readonly trustDomain: string;
  readonly epoch: string;
  readonly generations: readonly Generation[];
  /** DER. */
  readonly root: Uint8Array;
}

/**
 * Makes an authority: root, issuing CA, enrolment CA, token key, policies and the first trust bundle,
 * all of it or nothing. Where an earlier attempt was cut short, it goes on from there.
 *
 * Rejects with `StoreError` if there is an authority in the store, `KeyManagerError`, or
 * `ServiceError` (`INVALID_ARGUMENT`) for a trust domain that cannot be one.
 */
export async function initialiseAuthority(options: InitialiseOptions): Promise<Initialised> {
  const { trustDomain, keys, log } = options;
  if (!isTrustDomain(trustDomain) || !isHostName(trustDomain)) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'trust_domain_invalid',
      'a trust domain has to be a host name in lower case, such as example.org',
    );
  }
  const store = await openEmpty(options);
  const refs: string[] = [];
  try {
    const { epoch } = await readMeta(store.queries);
    const fresh = await makeGenerations(options, epoch, refs);
    const token = await keys.generate('ed25519');
    refs.push(token.ref);
    crashPoint('init.after_keys');
    await store.transact(async (transaction) => {
      const sequence = await publishBundle(
        transaction,
        await gatherBundle({
          trustDomain,
          epoch,
          addresses: options.addresses,
          generations: fresh,
          keyOf: (generation) => keys.open(generation.keyRef),
          previous: undefined,
          by: OWNER,
        }),
      );
      await insertGenerations(transaction, fresh, sequence);
      const publicKeyInfo = exportPublicKeyInfo(token.publicKey);
      await insertTokenKey(transaction, publicKeyInfo, token.ref);
      await insertPolicies(transaction);
      transaction.audit({
        actor: OWNER,
        action: 'authority.init',
        subject: trustDomain,
        outcome: 'done',
        details: { epoch, key_manager: keys.kind },
      });
    });
    log.info({ trustDomain, epoch }, 'authority made');
    const [root] = fresh;
    return { trustDomain, epoch, generations: fresh, root: root?.certificate.der ?? NOTHING };
  } catch (error) {
    for (const ref of refs) await keys.destroy(ref);
    throw error;
  } finally {
    await store.close();
  }
}

/** A new store, or one that was made for the same trust domain and got no further. */
async function openEmpty(options: InitialiseOptions): Promise<Store> {
  const { trustDomain, random } = options;
  try {
    return await initialiseStore(options.store, { trustDomain, random });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const store = await openStore(options.store).catch(() => undefined);
    if (store === undefined) throw error;
    const meta = await readMeta(store.queries);
    const begun = await store.queries.selectFrom('ca_generation').select('id').limit(1).execute();
    if (begun.length === 0 && meta.trustDomain === trustDomain) return store;
    await store.close();
    throw error;
  }
}

async function makeGenerations(
  options: InitialiseOptions,
  epoch: string,
  refs: string[],
): Promise<readonly SigningGeneration[]> {
  const root = await makeGeneration(options, epoch, refs, 'root');
  const issuing = await makeGeneration(options, epoch, refs, 'issuing', root);
  return [root, issuing, await makeGeneration(options, epoch, refs, 'enrolment')];
}

async function makeGeneration(
  options: InitialiseOptions,
  epoch: string,
  refs: string[],
  kind: CaKind,
  parent?: SigningGeneration,
): Promise<SigningGeneration> {
  const { keys, trustDomain, random, keyType = 'ecdsa-p256', lifetimesMs } = options;
  const { ref } = await keys.generate(keyType);
  refs.push(ref);
  const key = await keys.open(ref);
  const now = options.store.now().getTime();
  const signer: CaSigner = parent ?? { key };
  const certificate = await makeCaCertificate({
    kind,
    number: 1,
    trustDomain,
    key,
    signer,
    serialNumber: Buffer.concat([Buffer.from(epoch, 'hex'), random(12)]),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + (lifetimesMs?.[kind] ?? defaultCaLifetimesMs[kind])),
  });
  return {
    id: random(16),
    kind,
    number: 1,
    state: 'signing',
    stateVersion: 1,
    publishedIn: undefined,
    parent: parent?.id,
    certificate,
    crossCertificate: undefined,
    oldWithNew: undefined,
    keyRef: ref,
    key,
  };
}

async function insertGenerations(
  transaction: Transaction,
  generations: readonly Generation[],
  bundle: number,
): Promise<void> {
  const { queries, now } = transaction;
  await queries
    .insertInto('ca_generation')
    .values(
      generations.map(({ certificate, ...generation }) => ({
        id: generation.id,
        kind: generation.kind,
        number: generation.number,
        parent: generation.parent ?? null,
        key_ref: generation.keyRef,
        key_identifier: certificate.subjectKeyId ?? keyIdentifier(certificate.publicKeyInfo),
        certificate: certificate.der,
        cross_certificate: null,
        old_with_new: null,
        state: generation.state,
        state_version: generation.stateVersion,
        published_in: generation.kind === 'enrolment' ? null : bundle,
        not_before: certificate.notBefore.getTime(),
        not_after: certificate.notAfter.getTime(),
        created_at: now,
      })),
    )
    .execute();
  await queries
    .insertInto('ca_transition')
    .values(
      generations.map(({ id, state, stateVersion }) => ({
        generation: id,
        state_version: stateVersion,
        from_state: null,
        to_state: state,
        at: now,
        by: OWNER,
        forced_why: null,
        gate: null,
      })),
    )
    .execute();
}

async function insertTokenKey(
  { queries, now }: Transaction,
  publicKeyInfo: Uint8Array,
  ref: string,
): Promise<void> {
  await queries
    .insertInto('token_key')
    .values({
      id: tokenKeyId(publicKeyInfo),
      public_key: publicKeyInfo,
      key_ref: ref,
      state: 'signing',
      created_at: now,
      retired_at: null,
    })
    .execute();
}

async function insertPolicies({ queries, now }: Transaction): Promise<void> {
  await queries
    .insertInto('policy')
    .values(
      Object.entries(defaultPolicies).map(([name, policy]) => ({
        name,
        version: 1,
        document: JSON.stringify(issuancePolicy.parse(policy)),
        created_at: now,
        created_by: OWNER,
      })),
    )
    .execute();
}

const OWNER = 'owner';
const NOTHING = new Uint8Array();
/** For hosts whose clocks are behind. */
const BACKDATE_MS = 5 * 60_000;
