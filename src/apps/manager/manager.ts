import { mkdirSync, readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import type { Logger } from 'pino';
import { createOffload, type Offload, type SidekeyId } from '../../offload/index.ts';
import { formatAddress } from '../../rpc/address.ts';
import { startAdmin } from '../../sidecar/admin.ts';
import type { ManagerStatus } from '../fleet/admin-api/messages.ts';
import { type AdminService, startAdminService } from './admin/index.ts';
import { AgentChanges } from './agent-changes.ts';
import { createAdministration } from './administration/fleet-administration.ts';
import type { ManagerConfig } from './config.ts';
import type { AgentConnection } from './connections/agent-connection.ts';
import { HandshakeGate } from './connections/handshake-gate.ts';
import { keepAlive } from './connections/keep-alive.ts';
import { figuresOf } from './figures.ts';
import { Fleet } from './fleet/fleet.ts';
import { ModeSync } from './fleet/mode-sync.ts';
import { ConfigurationPush } from './jobs/configuration-push.ts';
import { OperationJobs } from './jobs/operation-jobs.ts';
import { type Links, openLinks } from './links.ts';
import type { ManagerParts } from './manager-parts.ts';
import { ManagerMetrics } from './metrics.ts';
import { OwnIdentity } from './own-identity.ts';
import { ManagerStore } from './store/manager-store.ts';
import { BeatLog } from './sweep/beat-log.ts';
import { EventPull } from './sweep/event-pull.ts';
import { Sweep } from './sweep/sweep.ts';

export interface ManagerOptions {
  readonly log: Logger;
  readonly version: string;
  readonly now?: () => Date;
  /** Between 0 and 1, for jitter. */
  readonly random?: () => number;
}

/** Starts a manager; rejects with `StoreError`, `ListenError` or `ConfigurationError`. */
export async function startManager(
  config: ManagerConfig,
  options: ManagerOptions,
): Promise<Manager> {
  const { log, now = () => new Date() } = options;
  mkdirSync(config.state, { recursive: true, mode: 0o700 });
  const store = await ManagerStore.open({ url: storeUrl(config), now, log });
  let offload;
  try {
    const fleet = await Fleet.load(store, config.limits.agents);
    offload = createOffload({
      address: config.sidecar,
      ...(config.tokenFile === undefined ? {} : { tokenFile: config.tokenFile }),
    });
    const manager = new Manager(config, { ...options, now }, store, fleet, offload);
    await manager.start();
    return manager;
  } catch (error) {
    await offload?.close();
    await store.close();
    throw error;
  }
}

/** A fleet, and who keeps it: connections, heartbeats, jobs, administration. */
export class Manager implements ManagerParts {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  readonly beats: BeatLog;
  readonly operations: OperationJobs;
  readonly configurations: ConfigurationPush;
  readonly changes: AgentChanges;
  readonly now: () => Date;
  readonly #config: ManagerConfig;
  readonly #options: ManagerOptions;
  readonly #log: Logger;
  readonly #offload: Offload;
  readonly #identity: OwnIdentity;
  readonly #gate: HandshakeGate;
  readonly #sweep: Sweep;
  readonly #modes: ModeSync;
  readonly #metrics: ManagerMetrics;
  readonly #startedAt: Date;
  #links: Links | undefined;
  #linking: Promise<void> = Promise.resolve();
  #local: AdminService | undefined;
  #monitoring: Awaited<ReturnType<typeof startAdmin>> | undefined;
  #stopKeepAlive = (): void => undefined;
  #problem: string | undefined;
  #closed = false;

  /** Use {@link startManager}. */
  constructor(
    config: ManagerConfig,
    options: ManagerOptions & { readonly now: () => Date },
    store: ManagerStore,
    fleet: Fleet,
    offload: Offload,
  ) {
    const { log, now, random = Math.random } = options;
    const { limits, heartbeat, identity } = config;
    this.#config = config;
    this.#options = options;
    this.#log = log;
    this.#offload = offload;
    this.store = store;
    this.fleet = fleet;
    this.now = now;
    this.#startedAt = now();
    this.#identity = new OwnIdentity({
      offload,
      name: identity,
      log,
      onKnown: (id) => {
        this.#linking = this.#link(id);
      },
    });
    this.#gate = new HandshakeGate({
      perSecond: limits.handshakesPerSecond,
      atOnce: limits.handshakesAtOnce,
      waiting: limits.handshakesWaiting,
      patienceMs: 20_000,
    });
    this.beats = new BeatLog({ store, log, kept: heartbeat.kept });
    const events = new EventPull({
      store,
      fleet,
      kept: limits.eventsKept,
      now,
      log,
      onPulled: (count) => {
        this.#metrics.events.inc(count);
      },
    });
    this.#sweep = new Sweep({
      ...heartbeat,
      atOnce: limits.requestsAtOnce,
      beats: this.beats,
      events,
      now,
      random,
      log,
      onBeat: (record, roundTripMs) => {
        this.#metrics.heartbeats.inc({ outcome: roundTripMs === undefined ? 'missed' : 'ok' });
        if (roundTripMs === undefined) return;
        this.#metrics.roundTrip.observe(roundTripMs / 1000);
        this.configurations.consider(record);
        void this.#modes.sync(record);
      },
    });
    this.operations = new OperationJobs({ store, fleet, log, atOnce: limits.requestsAtOnce });
    this.configurations = new ConfigurationPush({
      store,
      fleet,
      workload: offload.workload,
      identity,
      now,
      random,
      log,
      atOnce: limits.requestsAtOnce,
      onApplied: (record) => {
        this.#sweep.soon(record);
      },
    });
    this.#modes = new ModeSync(config.advertise, log);
    this.changes = new AgentChanges({
      fleet,
      sweep: this.#sweep,
      modes: this.#modes,
      canBeDialled: config.advertise.length > 0,
      links: () => this.#links,
      problem: () => this.#identity.problem ?? this.#problem,
      log,
    });
    const figures = figuresOf({
      fleet,
      connections: () => this.#connections,
      gate: this.#gate,
      sweep: this.#sweep,
      store,
      now,
    });
    this.#metrics = new ManagerMetrics(figures, new Registry());
  }

  /** Where administrators reach it. */
  get admin(): AdminService | undefined {
    return this.#local;
  }

  /** Where operators reach it over the network, once it knows who it is. */
  get https(): string | undefined {
    return this.#links?.https?.https;
  }

  /** Where agents dial; absent: nowhere, or not yet. */
  get listening(): string | undefined {
    const address = this.#links?.acceptor?.address;
    return address === undefined ? undefined : formatAddress(address);
  }

  /** Resolves when agents are connected to. Rejects if they cannot be. */
  async linked(): Promise<void> {
    await this.#linking;
  }

  async start(): Promise<void> {
    const { admin, metrics, keepAliveMs } = this.#config;
    const { now } = this;
    const log = this.#log;
    const administration = createAdministration(this);
    this.#local = await startAdminService({
      administration,
      address: admin.address,
      https: undefined,
      now,
      log,
    });
    if (metrics !== undefined) {
      this.#monitoring = await startAdmin(metrics, {
        metrics: () => this.#metrics.read(),
        problems: () => this.#problems(),
        onError: (error) => {
          log.error({ err: error }, 'metrics cannot be read');
        },
      });
    }
    for (const record of this.fleet.all()) this.#sweep.include(record);
    await this.operations.resumeAll();
    await this.configurations.resumeAll();
    this.#stopKeepAlive = keepAlive(() => this.#connections, keepAliveMs);
    this.#identity.start();
    log.info({ agents: this.fleet.size, admin: this.#local.address }, 'manager started');
  }

  status(): ManagerStatus {
    const { cycle, missed } = this.#sweep;
    const spiffeId = this.#identity.id?.text;
    return {
      version: this.#options.version,
      ...(spiffeId === undefined ? {} : { spiffeId }),
      startedAt: this.#startedAt.toISOString(),
      listening: this.listening ?? '',
      states: this.fleet.counts(),
      connected: this.#connections.size,
      sweep: {
        ...(cycle === undefined
          ? {}
          : {
              lastStartedAt: cycle.startedAt.toISOString(),
              lastDurationMs: cycle.durationMs,
              p50Ms: cycle.p50Ms,
              p99Ms: cycle.p99Ms,
            }),
        missed,
      },
      problems: [...this.#problems()],
    };
  }

  /** Ends everything; what was answered is durable. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopKeepAlive();
    this.#sweep.close();
    this.operations.close();
    await this.#identity.close();
    await this.#linking.catch(() => undefined);
    await this.#links?.close();
    this.#gate.close();
    await this.#local?.close();
    this.#monitoring?.destroy();
    await this.#monitoring?.close();
    await this.beats.flush();
    await this.#offload.close();
    await this.store.close();
  }

  /** It is known who we are: agents are connected to from now on. */
  async #link({ trustDomain }: SidekeyId): Promise<void> {
    if (this.#closed) return;
    try {
      this.#links = await openLinks({
        config: this.#config,
        offload: this.#offload,
        gate: this.#gate,
        trustDomain,
        fleet: this.fleet,
        store: this.store,
        administration: createAdministration(this),
        now: this.now,
        random: this.#options.random ?? Math.random,
        log: this.#log,
        onConnected: (record) => {
          this.#sweep.soon(record);
        },
        onRefused: () => {
          this.#metrics.refusals.inc({ origin: 'accepted' });
        },
      });
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#log.error({ err: error }, 'agents cannot be connected to');
      throw error;
    }
    // Not all at once.
    for (const record of this.fleet.all()) {
      this.#links.dialler.consider(record, this.#config.reconnect.firstMs);
    }
  }

  get #connections(): ReadonlySet<AgentConnection> {
    return this.#links?.arrivals.connections ?? new Set();
  }

  #problems(): readonly string[] {
    return [this.#identity.problem, this.#problem, this.store.problem].filter(
      (problem) => problem !== undefined,
    );
  }
}

function storeUrl({ store }: ManagerConfig): string {
  if (store.kind === 'sqlite') return `sqlite:${store.path}`;
  return readFileSync(store.urlFile, 'utf8').trim();
}
