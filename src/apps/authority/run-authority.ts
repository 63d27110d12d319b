import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { announceAddresses } from '../../ca/trust/announce-addresses.ts';
import { createAdministration, registerFleetMetrics } from '../../ca/administration/index.ts';
import {
  type Authority,
  CryptoPool,
  KeyManagerError,
  openAuthority,
  type PeerIdentity,
} from '../../ca/index.ts';
import { startAuthorityHttp } from '../../ca/http/index.ts';
import { StoreError } from '../../ca/store/options.ts';
import { openStore } from '../../ca/store/open.ts';
import { withSharedEncoding } from '../../ca/trust/encode-once.ts';
import { randomBytes } from '../../crypto/random.ts';
import { AdministrationServiceService } from '../../gen/sidekey/v1/administration.ts';
import {
  CertificateAuthorityServiceService,
  type ListenerReport,
} from '../../gen/sidekey/v1/certificate_authority.ts';
import { parseCertificate } from '../../pki/index.ts';
import { formatAddress, type ListenAddress } from '../../rpc/address.ts';
import { createPeerCredentialsReader } from '../../rpc/peer-credentials.ts';
import { RpcServer } from '../../rpc/server.ts';
import {
  type AuthorityConfig,
  ConfigurationError,
  joinKeyAndChain,
  type KeyWithChain,
} from '../../sidecar/index.ts';
import { cipherSuites } from '../../tls/index.ts';
import { TlsAcceptor } from '../in-process-tls/tls-acceptor.ts';
import { listenerReport } from '../sidecar/listener-reports.ts';
import { type AuthorityClient, AuthorityClients } from './authority-client.ts';
import { registerAuthorityMetrics } from './authority-metrics.ts';
import { AuthorityPeers } from './authority-peers.ts';
import { EnrolmentListener } from './enrolment-listener.ts';
import { endRevoked, revocationCheck } from './live-revocations.ts';
import { readReplicaId } from './replica-id.ts';
import { openAuthorityKeys, storeOptionsOf } from './surroundings.ts';

export interface RunAuthorityOptions {
  readonly log: Logger;
  readonly now: () => Date;
  readonly registry: Registry;
  /** Of the program. */
  readonly version: string;
}

/** An authority that serves. */
export interface RunningAuthority {
  readonly authority: Authority;
  /** Where hosts reach it. */
  readonly address: string;
  /** Where its owner does. */
  readonly administration: string;
  /** Where anybody gets CRLs and OCSP answers; absent: it is not served. */
  readonly http: string | undefined;
  /** Why nothing is issued now; empty: it is. */
  problems(): readonly string[];
  listeners(): readonly ListenerReport[];
  /** Takes no more, finishes what it has within the time, then closes. */
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Runs the authority that a configuration describes and `initialiseAuthority` made. Rejects with
 * `ConfigurationError`, also for a store or keys that cannot be used, and with `ListenError`.
 */
export async function startAuthority(
  config: AuthorityConfig,
  options: RunAuthorityOptions,
): Promise<RunningAuthority> {
  const running = new AuthorityProcess(config, options);
  try {
    await running.start();
    return running;
  } catch (error) {
    await running.close();
    if (error instanceof StoreError || error instanceof KeyManagerError) {
      throw new ConfigurationError([`authority: ${error.message}`]);
    }
    throw error;
  }
}

class AuthorityProcess implements RunningAuthority {
  readonly #config: AuthorityConfig;
  readonly #options: RunAuthorityOptions;
  readonly #rpc: RpcServer<AuthorityClient>;
  readonly #clients: AuthorityClients;
  readonly #enrolment: EnrolmentListener;
  #authority: Authority | undefined;
  #acceptor: TlsAcceptor<PeerIdentity> | undefined;
  #address: ListenAddress | undefined;
  #administration: ListenAddress | undefined;
  #http: Awaited<ReturnType<typeof startAuthorityHttp>> | undefined;
  #credential: { readonly chain: readonly Uint8Array[]; readonly key: KeyWithChain } | undefined;

  constructor(config: AuthorityConfig, options: RunAuthorityOptions) {
    this.#config = config;
    this.#options = options;
    this.#rpc = new RpcServer({
      maxReceiveBytes: 262_144,
      // Bundles come many at a time.
      maxSendBytes: 4_194_304,
      maxConnections: 64,
      maxStreamsPerConnection: 64,
      readCredentials: createPeerCredentialsReader(),
      now: options.now,
    });
    this.#clients = new AuthorityClients(
      this.#rpc,
      config.trustDomain,
      process.getuid?.() ?? unknownUid,
    );
    this.#enrolment = new EnrolmentListener({
      address: config.listen,
      maxConnections: config.limits.connections,
      log: options.log,
    });
  }

  get authority(): Authority {
    if (this.#authority === undefined) throw new TypeError('the authority is not open');
    return this.#authority;
  }

  get address(): string {
    return this.#address === undefined ? '' : formatAddress(this.#address);
  }

  get administration(): string {
    return this.#administration === undefined ? '' : formatAddress(this.#administration);
  }

  get http(): string | undefined {
    return this.#http === undefined ? undefined : formatAddress(this.#http.address);
  }

  async start(): Promise<void> {
    const { log } = this.#options;
    await mkdir(this.#config.state, { recursive: true, mode: 0o700 });
    this.#address = await this.#enrolment.listen();
    const authority = await this.#open();
    this.#authority = authority;
    const { trustDomain } = authority.context;
    if (trustDomain !== this.#config.trustDomain) {
      throw new ConfigurationError([
        `authority.trustDomain: the store belongs to ${trustDomain}, not to ${this.#config.trustDomain}`,
      ]);
    }
    await this.#announce(authority);
    this.#acceptor = this.#createAcceptor(authority);
    endRevoked(authority.trust.feed, this.#acceptor.livePeers);
    this.#addServices(authority);
    registerAuthorityMetrics(this.#options.registry, authority, this.#acceptor);
    registerFleetMetrics(this.#options.registry, authority.context);
    this.#administration = await this.#rpc.listen({
      address: this.#config.administration.address,
      access: { mode: this.#config.administration.mode },
      listener: { kind: 'owner' },
      requireCredentials: true,
      onRefused: (detail) => {
        log.warn({ detail }, 'connection of an administrator refused');
      },
    });
    await this.#serveHttp(authority);
    this.#enrolment.serve({ acceptor: this.#acceptor, rpc: this.#rpc });
    const { address, administration, http } = this;
    log.info({ address, administration, http, trustDomain }, 'authority started');
  }

  problems(): readonly string[] {
    return this.#authority?.problems() ?? ['the authority is not open'];
  }

  listeners(): readonly ListenerReport[] {
    const attempts = this.#acceptor?.attempts.list() ?? [];
    const policy = this.#authority?.trust.feed.tlsPolicy;
    const floors = policy && {
      version: Number(policy.version),
      minVersion: policy.minVersion,
      listeners: new Map(Object.entries(policy.listeners)),
    };
    const { address } = this;
    return [listenerReport({ name: 'authority', address, cipherSuites, attempts }, floors)];
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#enrolment.close();
    await this.#rpc.stopListening();
    await this.#stopHttp();
    // Streams that would never end by themselves.
    await this.#authority?.trust.close();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#rpc.grpc.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    await this.close();
  }

  async close(): Promise<void> {
    await this.#enrolment.close();
    await this.#rpc.stopListening();
    this.#http?.destroy();
    this.#acceptor?.destroyAll();
    this.#rpc.destroy();
    await this.#stopHttp();
    await this.#authority?.close();
    this.#authority = undefined;
  }

  async #open(): Promise<Authority> {
    const { log, now, registry, version } = this.#options;
    const { state, advertise, http, enrolment, limits, rotation } = this.#config;
    const store = await openStore(await storeOptionsOf(this.#config, log));
    // One core is for everything else.
    const pool = new CryptoPool({ threads: Math.max(1, availableParallelism() - 1) });
    try {
      const keys = await openAuthorityKeys(this.#config, pool);
      const seenWithinMs = rotation.countAgentsSeenWithinMs;
      return await openAuthority({
        store,
        keys,
        pool,
        replicaId: await readReplicaId(state),
        addresses: advertise.length > 0 ? advertise : [this.address],
        version,
        mode: enrolment,
        connections: this.#clients,
        ...(http?.publicUrl === undefined ? {} : { publicUrl: http.publicUrl }),
        maxQueued: limits.requests,
        rotation: {
          automatic: rotation.automatic,
          windows: {
            hosts: seenWithinMs === undefined ? {} : { seenWithinMs },
            replicas: { staleAfterMs: 30_000 },
          },
        },
        registry,
        now,
        random: randomBytes,
        log,
      });
    } catch (error) {
      await pool.close();
      await store.close();
      throw error;
    }
  }

  /** What is published for others than hosts. */
  async #serveHttp({ context, crls, ocsp, trust }: Authority): Promise<void> {
    const { http } = this.#config;
    if (http === undefined) return;
    const { log, now } = this.#options;
    this.#http = await startAuthorityHttp({
      address: http.address,
      crls,
      generations: () => context.generations.all(),
      bundle: () => trust.feed.bundle,
      respond: (request) => ocsp.respond(request),
      now,
      log,
    });
  }

  async #stopHttp(): Promise<void> {
    const http = this.#http;
    this.#http = undefined;
    await http?.close();
  }

  /** Replicas that say nothing of the others would take turns in naming themselves. */
  async #announce({ context }: Authority): Promise<void> {
    if (this.#config.advertise.length === 0 && context.store.kind !== 'sqlite') return;
    if (!(await announceAddresses(context))) return;
    this.#options.log.info({ addresses: context.addresses }, 'hosts are told of new addresses');
  }

  #createAcceptor(authority: Authority): TlsAcceptor<PeerIdentity> {
    const { now } = this.#options;
    const { enrolment, limits, expiredGraceMs } = this.#config;
    const { context, trust } = authority;
    const peers = new AuthorityPeers({
      trustDomain: context.trustDomain,
      generations: () => context.generations.all(),
      isRevoked: revocationCheck(trust.revocations),
      expiredGraceMs,
      now,
    });
    return new TlsAcceptor({
      credential: () => this.#ownKey(authority),
      clientAuth: () => (enrolment === 'closed' ? 'require' : 'request'),
      certificateAuthorities: () => peers.authorityNames(),
      judge: (certificates) => peers.judge(certificates),
      limits,
      now,
    });
  }

  /** Parsed once for each certificate. */
  #ownKey(authority: Authority): KeyWithChain {
    const { chain, privateKey } = authority.credential();
    if (this.#credential?.chain !== chain) {
      const certificates = chain.map((der) => parseCertificate(der));
      const key = joinKeyAndChain('authority', certificates, privateKey);
      this.#credential = { chain, key };
    }
    return this.#credential.key;
  }

  #addServices(authority: Authority): void {
    const { grpc } = this.#rpc;
    const { context, rotation, mint } = authority;
    const { enrolment, http, keys, state, store } = this.#config;
    const isLocal = store.kind === 'url' && store.url.startsWith('sqlite:');
    grpc.addService(
      withSharedEncoding(CertificateAuthorityServiceService),
      authority.certificateAuthority,
    );
    grpc.addService(
      AdministrationServiceService,
      createAdministration({
        context,
        rotation,
        mint,
        identify: (call) => this.#clients.administratorOf(call),
        facts: {
          version: this.#options.version,
          enrolmentMode: enrolment,
          keysProtected: keys.kind === 'pkcs11' || keys.passphraseFile !== undefined,
          stateDirectory: isLocal ? state : undefined,
          publicUrl: http?.publicUrl,
          problems: () => this.problems(),
          listeners: () => this.listeners(),
        },
      }),
    );
  }
}

/** Of no user: where the platform has none, nobody is the owner. */
const unknownUid = -1;
