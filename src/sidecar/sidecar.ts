import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { toHex } from '../bytes/bytes.ts';
import { randomBytes } from '../crypto/random.ts';
import { WorkloadServiceService } from '../gen/sidekey/v1/workload.ts';
import { formatAddress } from '../rpc/address.ts';
import { isDenial, type ServiceError } from '../rpc/errors.ts';
import {
  createPeerCredentialsReader,
  type PeerCredentialsReader,
} from '../rpc/peer-credentials.ts';
import { RateBudget } from '../rpc/rate-budget.ts';
import { RpcServer } from '../rpc/server.ts';
import { TicketKeys } from '../tls/index.ts';
import { startAdmin } from './admin.ts';
import { Admission } from './admission.ts';
import { CallerPolicy } from './callers.ts';
import type { Limits, SidecarConfig } from './config.ts';
import { ConfigurationError } from './configuration-error.ts';
import type { BootstrapSource, CredentialSource } from './credential-source.ts';
import { loadDescriptors } from './descriptors.ts';
import { enrolledFigures, EnrolledFollower } from './enrolled-follower.ts';
import { OffloadedHandshake } from './handshake.ts';
import { IdentityStore } from './identities.ts';
import { enrollIdentity, forgetIdentity, renewIdentity } from './identity-upkeep.ts';
import { IdentityWatchers } from './identity-watchers.ts';
import { messageCalls } from './message-calls.ts';
import { SidecarMetrics } from './metrics.ts';
import { identityProblem, lookedAtOnceIn } from './readiness.ts';
import { Reloader } from './reloader.ts';
import { RenewalPace } from './renewal-pace.ts';
import { RevocationWatchers } from './revocation-watchers.ts';
import { HandshakeService, handshakeService } from './service.ts';
import { ClientSessionCache } from './session-cache.ts';
import { Signer } from './signer.ts';
import { TrustStore } from './trust.ts';
import { VersionAttempts, type VersionAttempt } from './version-attempts.ts';
import type { WatchServices } from './watch-streams.ts';
import { listIdentities } from './workload.ts';

export interface SidecarOptions {
  readonly log: Logger;
  /** Absent: the system's clock. */
  readonly now?: () => Date;
  /** Absent: SO_PEERCRED. */
  readonly readCredentials?: PeerCredentialsReader;
  /** Of each identity configured as enrolled, by its name. */
  readonly sources?: ReadonlyMap<string, CredentialSource>;
  /** Of each identity configured as self-signed, by its name. */
  readonly bootstraps?: ReadonlyMap<string, BootstrapSource>;
  /** Where measurements go; absent: a registry of its own. */
  readonly registry?: Registry;
  /** What else in this process keeps it from being ready, one line each. */
  readonly problems?: () => readonly string[];
}

/** A sidecar that serves. */
export interface Sidecar {
  /** Where the first listener is, as gRPC clients take it. */
  readonly address: string;
  readonly addresses: readonly string[];
  readonly adminAddress: string | undefined;
  /** Peers that came with an old version of TLS only, by the application they came to. */
  readonly versionAttempts: readonly VersionAttempt[];
  /** Looks at keys, certificates and trust bundle now, without waiting for a report of change. */
  reload(): void;
  /** Takes no new handshakes, lets those in progress finish within the time, then closes. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

/**
 * Loads what a configuration names and says what is wrong with it: what `startSidecar` does before
 * it listens. Throws {@link ConfigurationError}.
 */
export function checkSidecar(config: SidecarConfig, now: () => Date = systemClock): void {
  loadMaterial(config, now, {});
}

/** Starts a sidecar. Throws {@link ConfigurationError} or `ListenError`. */
export async function startSidecar(
  config: SidecarConfig,
  options: SidecarOptions,
): Promise<Sidecar> {
  const sidecar = new RunningSidecar(config, options);
  try {
    await sidecar.listen();
  } catch (error) {
    await sidecar.close();
    throw error;
  }
  return sidecar;
}

class RunningSidecar implements Sidecar {
  readonly #config: SidecarConfig;
  readonly #log: Logger;
  readonly #now: () => Date;
  readonly #identities: IdentityStore;
  readonly #metrics: SidecarMetrics;
  readonly #rpc: RpcServer<CallerPolicy>;
  readonly #service: HandshakeService;
  readonly #reloader: Reloader;
  readonly #followers: readonly EnrolledFollower[];
  readonly #watchers: RevocationWatchers;
  readonly #identityWatchers: IdentityWatchers;
  readonly #stopFollowing: readonly (() => void)[];
  readonly #attempts = new VersionAttempts();
  readonly #signer: Signer;
  readonly #newId: () => string;
  readonly #otherProblems: () => readonly string[];
  readonly #sessions: ClientSessionCache;
  readonly #tickets: TicketKeys | undefined;
  readonly #health = new HealthImplementation({ '': 'SERVING', 's2a.proto.S2AService': 'SERVING' });
  readonly #identityProblems: () => readonly string[];
  readonly #housekeeping: NodeJS.Timeout;
  #admin: Awaited<ReturnType<typeof startAdmin>> | undefined;
  #addresses: readonly string[] = [];
  #draining = false;

  constructor(config: SidecarConfig, options: SidecarOptions) {
    const now = options.now ?? systemClock;
    const { policies, identities, trust } = loadMaterial(config, now, options);
    this.#config = config;
    this.#log = options.log;
    this.#now = now;
    this.#identities = identities;
    this.#otherProblems = options.problems ?? (() => []);
    this.#policies = policies;
    const { limits, tls } = config;
    this.#signer = new Signer(limits.rsaSignatures);
    this.#newId = handshakeIds();
    this.#sessions = new ClientSessionCache(limits.clientSessions, tls.ticketLifetimeSeconds);
    this.#tickets = tls.sessionTickets ? ticketKeys(tls.ticketLifetimeSeconds, now) : undefined;
    const admission = { client: admissionOf(limits), server: admissionOf(limits) };
    this.#trustGeneration = () =>
      identities
        .enrolled()
        .reduce((sum, entry) => sum + entry.trust.generation, trust?.generation ?? 0);
    this.#metrics = new SidecarMetrics(
      {
        inFlight: (role) => admission[role].inFlight,
        queued: (role) => admission[role].queued,
        openStreams: () => this.#service.openStreams,
        connections: () => this.#rpc.connectionCount,
        clientSessions: () => this.#sessions.size,
        trustGeneration: this.#trustGeneration,
        notAfter: () => identities.all().map(({ name, leaf }) => [name, leaf.notAfter] as const),
        revocationWatchers: () => this.#watchers.size,
        enrolled: () => identities.enrolled().map((entry) => enrolledFigures(entry, now())),
      },
      options.registry ?? new Registry(),
    );
    this.#rpc = new RpcServer({
      // The protocol's own limit is lower; beyond it a request is refused with a reason.
      maxReceiveBytes: 196_608,
      maxConnections: limits.connections,
      maxStreamsPerConnection: limits.streamsPerConnection,
      readCredentials: options.readCredentials ?? createPeerCredentialsReader(),
      now,
    });
    const handshakes = {
      policy: tls,
      identities,
      signer: this.#signer,
      sessions: this.#sessions,
      tickets: this.#tickets,
      p384: new RateBudget({ burst: limits.p384PerSecond, perSecond: limits.p384PerSecond }, now),
      now,
      nextConnectionId: counter(),
    };
    this.#service = new HandshakeService(
      {
        deadlines: tls,
        newHandshake: (request, caller, onBroken) =>
          new OffloadedHandshake(request, caller, handshakes, onBroken),
        admission,
        metrics: this.#metrics,
        versionAttempts: this.#attempts,
        log: options.log,
        newHandshakeId: this.#newId,
        isDraining: () => this.#draining,
      },
      (peer) => this.#rpc.connection(peer),
    );
    this.#identityProblems = lookedAtOnceIn(readinessMs, now, () =>
      identities.names().flatMap((name) => {
        const problem = identityProblem(identities, name, now());
        return problem === undefined ? [] : [`identity ${name}: ${problem}`];
      }),
    );
    const watching: WatchServices = {
      connection: (peer) => this.#rpc.connection(peer),
      isDraining: () => this.#draining,
      onDenied: (error) => {
        this.#denied(error);
      },
    };
    this.#watchers = new RevocationWatchers({ ...watching, identities });
    this.#identityWatchers = new IdentityWatchers({
      ...watching,
      ...{ identities, now, trustGeneration: this.#trustGeneration },
    });
    const noticeIdentities = () => {
      this.#identityWatchers.notice();
    };
    this.#addServices();
    this.#followers = identities.enrolled().map(
      (entry) =>
        new EnrolledFollower(entry, {
          log: options.log,
          onTrustChanged: () => {
            this.#sessions.clear();
          },
          onTicketOrder: () => this.#tickets?.wipe(),
          onChanged: noticeIdentities,
        }),
    );
    this.#stopFollowing = identities
      .bootstraps()
      .map(({ source }) => source.onChange(noticeIdentities));
    this.#reloader = new Reloader({
      config,
      identities,
      trust,
      metrics: this.#metrics,
      log: options.log,
      onTrustChanged: () => {
        this.#sessions.clear();
      },
      onReloaded: noticeIdentities,
    });
    this.#housekeeping = setInterval(() => this.#tickets?.dropExpired(), housekeepingMs);
    this.#housekeeping.unref();
    for (const { name, warnings } of identities.all()) {
      for (const detail of warnings)
        this.#log.warn({ identity: name, detail }, 'identity is exposed');
    }
  }

  readonly #policies: readonly CallerPolicy[];
  readonly #trustGeneration: () => number;

  get address(): string {
    return this.#addresses[0] ?? '';
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  get adminAddress(): string | undefined {
    return this.#admin === undefined ? undefined : formatAddress(this.#admin.address);
  }

  get versionAttempts(): readonly VersionAttempt[] {
    return this.#attempts.list();
  }

  async listen(): Promise<void> {
    mkdirSync(this.#config.state, { recursive: true, mode: 0o700 });
    const addresses: string[] = [];
    for (const [index, listener] of this.#config.listen.entries()) {
      const policy = this.#policies[index];
      if (policy === undefined) throw new TypeError('listener without policy');
      const address = await this.#rpc.listen({
        address: listener.address,
        access: listener,
        listener: policy,
        requireCredentials: policy.requiresCredentials,
        onRefused: (detail) => {
          this.#metrics.callerDenied('caller_unknown');
          this.#log.warn({ detail }, 'connection refused');
        },
      });
      addresses.push(formatAddress(address));
    }
    this.#addresses = addresses;
    if (this.#config.admin !== undefined) {
      this.#admin = await startAdmin(this.#config.admin, {
        metrics: async () => ({
          contentType: this.#metrics.contentType,
          text: await this.#metrics.text(),
        }),
        problems: () => this.#problems(),
        onError: (err) => {
          this.#log.error({ err }, 'admin request failed');
        },
      });
    }
    this.#log.info({ addresses, admin: this.adminAddress }, 'sidecar started');
  }

  reload(): void {
    this.#reloader.reload();
  }

  async drain(timeoutMs: number): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      this.#health.setStatus('', 'NOT_SERVING');
      this.#health.setStatus('s2a.proto.S2AService', 'NOT_SERVING');
      this.#log.info({ openStreams: this.#service.openStreams }, 'sidecar draining');
    }
    await this.#rpc.stopListening();
    this.#service.endKeptStreams();
    this.#watchers.endAll();
    this.#identityWatchers.endAll();
    await this.#service.idle(timeoutMs);
    await this.close();
  }

  async close(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#housekeeping);
    this.#reloader.close();
    for (const follower of this.#followers) follower.close();
    for (const stop of this.#stopFollowing) stop();
    this.#watchers.endAll();
    this.#identityWatchers.endAll();
    await this.#rpc.stopListening();
    this.#rpc.destroy();
    await this.#admin?.close();
    this.#admin?.destroy();
    this.#sessions.clear();
    this.#tickets?.wipe();
  }

  #addServices(): void {
    const { grpc } = this.#rpc;
    const common = {
      identities: this.#identities,
      connection: (peer: string) => this.#rpc.connection(peer),
      onDenied: (error: ServiceError) => {
        this.#denied(error);
      },
    };
    const upkeep = {
      ...common,
      pace: new RenewalPace(this.#now),
      ownUid: process.getuid?.(),
      isDraining: () => this.#draining,
      onBroken: (err: unknown) => {
        this.#log.error({ err }, 'upkeep of an identity broke');
      },
    };
    grpc.addService(handshakeService, { setUpSession: this.#service.setUpSession });
    grpc.addService(WorkloadServiceService, {
      listIdentities: listIdentities({
        ...common,
        trustGeneration: this.#trustGeneration,
        now: this.#now,
      }),
      watchRevocations: this.#watchers.watch,
      watchIdentities: this.#identityWatchers.watch,
      enrollIdentity: enrollIdentity(upkeep),
      renewIdentity: renewIdentity(upkeep),
      forgetIdentity: forgetIdentity(upkeep),
      ...messageCalls({
        ...common,
        now: this.#now,
        log: this.#log,
        isDraining: () => this.#draining,
        signer: this.#signer,
        newUnwrapId: this.#newId,
        messagesPerSecond: this.#config.limits.messagesPerSecond,
      }),
    });
    this.#health.addToServer(grpc);
    if (this.#config.reflection) new ReflectionService(loadDescriptors()).addToServer(grpc);
  }

  #denied(error: ServiceError): void {
    const { reason, message } = error;
    if (isDenial(error)) this.#metrics.callerDenied(reason);
    this.#log.warn({ reason, detail: message }, 'request refused');
  }

  #problems(): readonly string[] {
    const problems = [...this.#identityProblems(), ...this.#otherProblems()];
    return this.#draining ? ['the sidecar is shutting down', ...problems] : problems;
  }
}

interface Material {
  readonly policies: readonly CallerPolicy[];
  readonly identities: IdentityStore;
  readonly trust: TrustStore | undefined;
}

/** Loads every file a configuration names; the problems of all of them come together. */
function loadMaterial(
  config: SidecarConfig,
  now: () => Date,
  { sources = new Map(), bootstraps = new Map() }: Pick<SidecarOptions, 'sources' | 'bootstraps'>,
): Material {
  const problems: string[] = [];
  const policies = config.listen.map((one) => new CallerPolicy(one, process.getuid?.()));
  problems.push(
    ...policies.flatMap((policy) => policy.problems.map((text) => `token file: ${text}`)),
  );
  const { trustBundle } = config;
  const trustProblems: string[] = [];
  const trust =
    trustBundle === undefined
      ? undefined
      : collect(trustProblems, () => new TrustStore(trustBundle, now));
  const identities = collect(
    problems,
    () => new IdentityStore({ config, fileTrust: trust, sources, bootstraps, now }),
  );
  problems.push(...trustProblems);
  if (problems.length > 0 || identities === undefined) throw new ConfigurationError(problems);
  return { policies, identities, trust };
}

function collect<T>(problems: string[], load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function admissionOf(limits: Limits): Admission {
  return new Admission({
    slots: limits.handshakes,
    queue: limits.queue,
    queueTimeoutMs: limits.queueTimeoutMs,
    callerShare: limits.callerShare,
    schedule: (delayMs, run) => {
      const timer = setTimeout(run, delayMs);
      return () => {
        clearTimeout(timer);
      };
    },
  });
}

function ticketKeys(lifetimeSeconds: number, now: () => Date): TicketKeys {
  return new TicketKeys({
    now,
    random: randomBytes,
    lifetimeSeconds,
    keyLifetimeSeconds: Math.min(lifetimeSeconds * 4, maxTicketKeySeconds),
  });
}

/** Unique across restarts by their first part, cheap to make by their second. */
function handshakeIds(): () => string {
  const process = toHex(randomBytes(6));
  const next = counter();
  return () => `${process}-${next().toString(36)}`;
}

function counter(): () => bigint {
  let last = 0n;
  return () => (last += 1n);
}

function systemClock(): Date {
  return new Date();
}

const maxTicketKeySeconds = 86_400;
const housekeepingMs = 60_000;
const readinessMs = 1000;
