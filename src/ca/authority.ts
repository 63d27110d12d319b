import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import {
  type CertificateAuthorityServiceServer,
  TrustBundle,
} from '../gen/sidekey/v1/certificate_authority.ts';
import { type Distribution, parseCertificate } from '../pki/index.ts';
import type { TokenMint } from './administration/index.ts';
import { Admission, type AdmissionLimits, defaultAdmissionLimits } from './admission/admission.ts';
import { type LiveAuthority, loadAuthority } from './live-authority.ts';
import { HeldAnswers } from './admission/held-answers.ts';
import type { Generation } from './generations/generation.ts';
import { distributionAt } from './http/urls.ts';
import { confirmOperation } from './issue/confirm-operation.ts';
import type { IssuingContext } from './issue/issuing-context.ts';
import type { CryptoPool } from './keys/crypto-pool.ts';
import type { KeyManager } from './keys/key-manager.ts';
import { CrlPublisher } from './revocation/crl-publisher.ts';
import { OcspResponder } from './revocation/ocsp-responder.ts';
import { createRotation } from './rotation/create-rotation.ts';
import type { Rotation } from './rotation/index.ts';
import type { RotationSettings } from './rotation/settings.ts';
import { createCertificateAuthorityService } from './service/certificate-authority-service.ts';
import { CertifiedKeys } from './service/certified-keys.ts';
import { Issuance } from './service/issuance.ts';
import { createIssuanceMetrics } from './service/issuance-metrics.ts';
import { OwnCredential } from './service/own-credential.ts';
import { identifyPeer, type PeerIdentity } from './service/peer-identity.ts';
import { RefusalLog } from './service/refusal-log.ts';
import type { Store } from './store/store.ts';
import { nodeTimers, type Timers } from './timers.ts';
import { createTokenMint } from './tokens/mint.ts';
import { TrustService, type TrustServiceLimits } from './trust/trust-service.ts';

export interface AuthorityOptions {
  /** Closed by {@link Authority.close}, as are `keys` and `pool`. */
  readonly store: Store;
  readonly keys: KeyManager;
  readonly pool: CryptoPool;
  /** Names this replica: letters, digits, dots, dashes. */
  readonly replicaId: string;
  /** host:port of the enrolment service, as hosts reach it. */
  readonly addresses: readonly string[];
  /** Of the program. */
  readonly version: string;
  readonly mode: 'closed' | 'open';
  readonly connections: AuthorityConnections;
  /** Where CRLs and OCSP answers are served: `http://HOST[:PORT][/PREFIX]`. */
  readonly publicUrl?: string;
  readonly limits?: Partial<AdmissionLimits>;
  readonly maxQueued?: number;
  readonly trustLimits?: Partial<TrustServiceLimits>;
  readonly rotation?: Partial<RotationSettings>;
  readonly registry: Registry;
  readonly now: () => Date;
  readonly random: (length: number) => Uint8Array;
  readonly log: Logger;
  readonly timers?: Timers;
}

/** What is known of the connections that calls come in on. */
export interface AuthorityConnections {
  /** `undefined`: the connection has ended. */
  origin(call: { getPeer(): string }): ConnectionOrigin | undefined;
  /** Ends the connection of a call at once. */
  cut(call: { getPeer(): string }): void;
}

export interface ConnectionOrigin {
  /** Address without port. */
  readonly source: string;
  /** DER of the client certificate, whose chain the listener has verified; absent: none was shown. */
  readonly leaf: Uint8Array | undefined;
}

/** What this replica shows at its own listeners. Its key exists in memory only. */
export interface AuthorityCredential {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly privateKey: KeyObject;
  readonly notAfter: Date;
  /** `spiffe://TRUST-DOMAIN/authority/REPLICA` */
  readonly spiffeId: string;
}

/** One replica of the authority at work. */
export interface Authority {
  readonly context: IssuingContext;
  /** Handlers for the enrolment port. */
  readonly certificateAuthority: CertificateAuthorityServiceServer;
  /** The same without gRPC. */
  readonly issuance: Issuance;
  readonly mint: TokenMint;
  readonly rotation: Rotation;
  readonly trust: TrustService;
  readonly crls: CrlPublisher;
  readonly ocsp: OcspResponder;
  /** CAs whose certificates open the enrolment port beside the roots: DER, in no trust bundle. */
  enrolmentAnchors(): readonly Uint8Array[];
  /** Who a verified client certificate makes a peer; `undefined`: nobody who may come in. */
  identify(leaf: Uint8Array | undefined): PeerIdentity | undefined;
  /** The present one; replaced by itself long before it ends. */
  credential(): AuthorityCredential;
  onCredential(listener: () => void): () => void;
  /** Why nothing is issued now; empty: it is. */
  problems(): readonly string[];
  close(): Promise<void>;
}

/** Opens an authority that {@link initialiseAuthority} made, and begins to work. Rejects as its parts do. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const { timers = nodeTimers, connections, publicUrl, now } = options;
  const live = await loadAuthority({
    ...options,
    distributionOf: (issuer): Distribution =>
      publicUrl === undefined ? {} : distributionAt(publicUrl, issuer),
  });
  const { context } = live;
  const credential = new OwnCredential(context, timers);
  const rotation = createRotation({
    context,
    tokenKeys: context.tokenKeys,
    version: options.version,
    issuing: () => credential.issuing,
    onIssuing: (listener) => credential.onChange(listener),
    timers,
    ...(options.rotation === undefined ? {} : { settings: options.rotation }),
  });
  const identify = peerIdentifier(context);
  const originOf = (call: { getPeer(): string }) => {
    const origin = connections.origin(call);
    const peer = origin && identify(origin.leaf);
    return peer && { peer, source: origin.source };
  };
  const trust = new TrustService({
    context,
    peer: (call) => originOf(call)?.peer,
    cut: (call) => {
      connections.cut(call);
    },
    orders: rotation,
    confirm: (serial) =>
      context.writer.submit(confirmOperation, {
        serial,
        caller: { name: 'authority', source: 'first use' },
        request: context.random(16),
      }),
    timers,
    ...(options.trustLimits === undefined ? {} : { limits: options.trustLimits }),
  });
  const crls = new CrlPublisher({
    context,
    feed: trust.feed,
    timers,
    ...(publicUrl === undefined ? {} : { publicUrl }),
  });
  const ocsp = new OcspResponder({ context, feed: trust.feed });
  const admission = new Admission({ ...defaultAdmissionLimits, ...options.limits }, now);
  const issuance = new Issuance({
    context,
    mode: options.mode,
    admission,
    metrics: createIssuanceMetrics(options.registry, {
      inFlight: () => admission.inFlight,
      queued: () => context.writer.queued,
    }),
    refusals: new RefusalLog(context),
    certifiedKeys: new CertifiedKeys(context.store.queries),
  });
  await startAll(live, trust, credential, rotation, crls);
  return {
    context,
    issuance,
    rotation,
    trust,
    crls,
    ocsp,
    identify,
    mint: createTokenMint(context),
    certificateAuthority: createCertificateAuthorityService({
      issuance,
      originOf,
      trustBundle: cachedBundle(trust),
      now,
      held: new HeldAnswers(timers),
      cut: (call) => {
        connections.cut(call);
      },
      followTrust: trust.followTrust,
    }),
    enrolmentAnchors: () =>
      context.generations
        .all()
        .filter(opensEnrolment)
        .map(({ certificate }) => certificate.der),
    credential: () => credential.current,
    onCredential: (listener) => credential.onChange(listener),
    problems: () => problemsOf(context, [credential.problem, trust.feed.problem]),
    close: async () => {
      await trust.close();
      await crls.close();
      ocsp.close();
      await rotation.close();
      await credential.close();
      await live.close();
    },
  };
}

/** Who owns a leaf: worked out once for each connection, and again when there are other CAs. */
function peerIdentifier({ generations, trustDomain }: IssuingContext): Authority['identify'] {
  const known = new WeakMap<
    Uint8Array,
    { readonly from: readonly Generation[]; readonly identity: PeerIdentity | undefined }
  >();
  return (leaf) => {
    if (leaf === undefined) return { kind: 'none' };
    const from = generations.all();
    const before = known.get(leaf);
    if (before?.from === from) return before.identity;
    const identity = identifyPeer(parseCertificate(leaf), from, trustDomain);
    known.set(leaf, { from, identity });
    return identity;
  };
}

async function startAll(
  live: LiveAuthority,
  trust: TrustService,
  credential: OwnCredential,
  rotation: Rotation,
  crls: CrlPublisher,
): Promise<void> {
  const { context } = live;
  await trust.start();
  trust.feed.onBatch(({ items }) => {
    if (!items.some(({ type }) => type === 'authority_keys' || type === 'bundle')) return;
    live.refresh().catch((error: unknown) => {
      context.log.error({ err: error }, 'keys of the authority could not be read again');
    });
  });
  await credential.start();
  await rotation.start();
  await crls.start();
}

/** The newest trust bundle as a message, decoded once for each version. */
function cachedBundle({ feed }: TrustService): () => TrustBundle {
  let sequence = -1;
  let message: TrustBundle = { content: Buffer.alloc(0), signatures: [] };
  return () => {
    const { bundle } = feed;
    if (bundle !== undefined && bundle.sequence !== sequence) {
      ({ sequence } = bundle);
      message = TrustBundle.decode(bundle.document);
    }
    return message;
  };
}

function opensEnrolment({ kind, state }: Generation): boolean {
  return kind === 'enrolment' && ['published', 'signing', 'draining'].includes(state);
}

function problemsOf(
  { store, generations, tokenKeys }: IssuingContext,
  others: readonly (string | undefined)[],
): readonly string[] {
  const keys = (['issuing', 'enrolment'] as const).map((kind) =>
    failureOf(() => generations.signing(kind)),
  );
  const token = failureOf(() => tokenKeys.signing());
  return [store.problem, ...keys, token, ...others].filter((problem) => problem !== undefined);
}

function failureOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
