import { mkdirSync, readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import type { Logger } from 'pino';
import {
  createOffload,
  type Offload,
  parseSidekeyId,
  type SidekeyId,
} from '../../offload/index.ts';
import { formatAddress } from '../../rpc/address.ts';
import { startAdmin } from '../../sidecar/admin.ts';
import type { ManagerStatus } from '../fleet/admin-api/messages.ts';
import type { ConnectionMode } from '../fleet/agent-api/connection.ts';
import { type AdminService, startAdminService } from './admin/index.ts';
import { createAdministration } from './administration/fleet-administration.ts';
import type { ManagerConfig } from './config.ts';
import { Acceptor } from './connections/acceptor.ts';
import { Arrivals } from './connections/arrivals.ts';
import { Dialler } from './connections/dialler.ts';
import { HandshakeGate } from './connections/handshake-gate.ts';
import { Activation } from './fleet/activation.ts';
import { ActivationPolicy } from './fleet/activation-policy.ts';
import { type AgentRecord, isActive } from './fleet/agent-record.ts';
import { ConflictError } from './fleet/conflict-error.ts';
import { Fleet } from './fleet/fleet.ts';
import { ModeSync } from './fleet/mode-sync.ts';
import { ConfigurationPush, isEffective } from './jobs/configuration-push.ts';
import { OperationJobs } from './jobs/operation-jobs.ts';
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
  #keepAlive: NodeJS.Timeout | undefined;
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
      log,
      atOnce: limits.requestsAtOnce,
      onApplied: (record) => {
        this.#sweep.soon(record);
      },
    });
    this.#modes = new ModeSync(config.advertise, log);
    this.#metrics = new ManagerMetrics(this.#figures(), new Registry());
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
    // A tenth at a time: every connection is looked at once in each period.
    let turn = 0;
    this.#keepAlive = setInterval(() => {
      turn = (turn + 1) % keepAliveTurns;
      let at = 0;
      for (const connection of this.#links?.arrivals.connections ?? []) {
        if (at++ % keepAliveTurns === turn) connection.keepAlive(keepAliveMs);
      }
    }, keepAliveMs / keepAliveTurns).unref();
    this.#identity.start();
    log.info({ agents: this.fleet.size, admin: this.#local.address }, 'manager started');
  }

  status(): ManagerStatus {
    const { roundTrips } = this.#sweep;
    const spiffeId = this.#identity.id?.text;
    const p50Ms = roundTrips.percentile(0.5);
    const p99Ms = roundTrips.percentile(0.99);
    const { lastStartedAt, lastDurationMs } = this.#sweep.cycle;
    return {
      version: this.#options.version,
      ...(spiffeId === undefined ? {} : { spiffeId }),
      startedAt: this.#startedAt.toISOString(),
      listening: this.listening ?? '',
      states: this.fleet.counts(),
      connected: this.#links?.arrivals.connections.size ?? 0,
      sweep: {
        ...(lastStartedAt === undefined ? {} : { lastStartedAt: lastStartedAt.toISOString() }),
        ...(lastDurationMs === undefined ? {} : { lastDurationMs }),
        ...(p50Ms === undefined ? {} : { p50Ms }),
        ...(p99Ms === undefined ? {} : { p99Ms }),
        missed: this.#sweep.missed,
      },
      problems: [...this.#problems()],
    };
  }

  async activate(
    record: AgentRecord,
    bundle: Uint8Array | undefined,
    actor: string,
  ): Promise<void> {
    const links = this.#requireLinks();
    if (bundle !== undefined) await links.activation.activate(record, bundle, actor);
    else if (record.row.state === 'registered' || record.row.state === 'activating') {
      throw new ConflictError(`agent ${record.row.name} needs a bundle to enrol with`);
    } else await links.activation.accept(record, actor);
    this.#begin(record);
  }

  async changeMode(
    record: AgentRecord,
    mode: ConnectionMode,
    address: string | undefined,
    actor: string,
  ): Promise<void> {
    const { row } = record;
    const to = address ?? row.address;
    if (mode !== 'agent-initiated' && to === null) {
      throw new ConflictError('the address of the agent is not known: say it');
    }
    if (mode !== 'manager-initiated' && this.#config.advertise.length === 0) {
      throw new ConflictError('agents cannot dial this manager: it listens nowhere');
    }
    await this.fleet.change(
      record,
      { mode, address: to },
      { actor, action: 'agent_mode', details: { mode, before: row.mode, address: to ?? '' } },
    );
    this.#links?.dialler.consider(record);
    await this.#modes.sync(record);
  }

  async deactivate(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { connection, row } = record;
    if (row.state === 'deactivated') return;
    await this.fleet.change(
      record,
      { state: 'deactivated', reason },
      { actor, action: 'agent_deactivated', details: { reason, before: row.state } },
    );
    this.#cut(record);
    if (row.state === 'active' && connection !== undefined) {
      // What counts is that it is cut off here; that it forgets its keys is for its own sake.
      await connection.client.deactivate().catch((error: unknown) => {
        this.#log.info({ err: error, agent: row.id }, 'an agent could not be told to deactivate');
      });
    }
    connection?.close('deactivated');
  }

  async quarantine(record: AgentRecord, actor: string, reason: string): Promise<void> {
    if (record.row.state !== 'active' && record.row.state !== 'pending') {
      throw new ConflictError(`agent ${record.row.name} is ${record.row.state}`);
    }
    await this.#requireLinks().arrivals.quarantine(record, actor, reason);
    this.#cut(record);
  }

  async release(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { row } = record;
    if (row.state === 'active') return;
    if (row.state !== 'quarantined') throw new ConflictError(`agent ${row.name} is ${row.state}`);
    await this.fleet.change(
      record,
      // Whoever comes first with a key of its certificate from now on is the agent.
      { state: 'active', reason: null, key_hash: null, key_not_before: null },
      { actor, action: 'agent_released', details: { reason } },
      async ({ queries }) => {
        await queries.deleteFrom('key_seen').where('agent', '=', record.no).execute();
      },
    );
    this.#begin(record);
  }

  async forget(record: AgentRecord, actor: string, reason: string): Promise<void> {
    if (isActive(record)) throw new ConflictError('an active agent is deactivated first');
    await this.fleet.remove(record, {
      actor,
      action: 'agent_forgotten',
      details: { reason, name: record.row.name, state: record.row.state },
    });
    this.#cut(record);
    record.connection?.close('forgotten');
  }

  /** Ends everything; what was answered is durable. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#keepAlive);
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
      this.#links = await this.#openLinks(trustDomain);
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

  async #openLinks(trustDomain: string): Promise<Links> {
    const { identity, listen, limits, activation, reconnect, admin } = this.#config;
    const { fleet, store, now } = this;
    const log = this.#log;
    const dialling = { offload: this.#offload, identity, gate: this.#gate };
    const arrivals = new Arrivals({
      fleet,
      store,
      policy: new ActivationPolicy(activation),
      trustDomain,
      now,
      log,
      onConnected: (record) => {
        dialler.connected(record);
        this.#sweep.soon(record);
      },
      onDisconnected: (record) => {
        dialler.consider(record, reconnect.firstMs);
      },
    });
    // Also of agents whose connection ended first, from their own end.
    const stopHearing = this.#offload.onPeerRevoked(({ spiffeId, reason }) => {
      const id = parseSidekeyId(spiffeId);
      const record = id?.role === 'agent' ? fleet.byId(id.uuid) : undefined;
      if (record?.row.spiffe_id !== spiffeId) return;
      void arrivals.revoked(record, `its certificate was revoked: ${reason}`);
    });
    const dialler = new Dialler({
      ...dialling,
      ...reconnect,
      arrivals,
      log,
      atOnce: limits.handshakesAtOnce,
      random: this.#options.random ?? Math.random,
    });
    const refused = (): void => {
      this.#metrics.refusals.inc({ origin: 'accepted' });
    };
    let acceptor: Acceptor | undefined;
    if (listen !== undefined) {
      acceptor = new Acceptor({
        ...dialling,
        trustDomain,
        log,
        maxConnections: limits.agents + limits.handshakesWaiting,
        onSecure: (socket) => {
          void arrivals.admit(socket, 'accepted').then((used) => {
            if (!used) refused();
          });
        },
        onRefused: refused,
      });
      await acceptor.listen(listen);
      log.info({ address: acceptor.address }, 'agents can dial');
    }
    let https: AdminService | undefined;
    try {
      https =
        admin.https === undefined
          ? undefined
          : await startAdminService({
              administration: createAdministration(this),
              address: undefined,
              https: {
                address: admin.https,
                offload: this.#offload,
                identity,
                trustDomain,
                names: admin.names,
              },
              now,
              log,
            });
    } catch (error) {
      await acceptor?.close();
      throw error;
    }
    const activations = new Activation({ ...dialling, fleet, trustDomain, now, log });
    return {
      arrivals,
      dialler,
      acceptor,
      activation: activations,
      https,
      close: async () => {
        stopHearing();
        dialler.close();
        await acceptor?.close();
        await https?.close();
        for (const connection of [...arrivals.connections]) connection.close('manager stops');
      },
    };
  }

  #begin(record: AgentRecord): void {
    this.#sweep.include(record);
    if (record.connection !== undefined) this.#sweep.soon(record);
    else this.#links?.dialler.consider(record);
  }

  #cut(record: AgentRecord): void {
    this.#sweep.exclude(record);
    this.#links?.dialler.consider(record);
  }

  #requireLinks(): Links {
    if (this.#links !== undefined) return this.#links;
    throw new ConflictError(this.#identity.problem ?? this.#problem ?? 'the manager is starting');
  }

  #problems(): readonly string[] {
    return [this.#identity.problem, this.#problem, this.store.problem].filter(
      (problem) => problem !== undefined,
    );
  }

  #figures(): ConstructorParameters<typeof ManagerMetrics>[0] {
    const active = (): AgentRecord[] => [...this.fleet.all()].filter(isActive);
    return {
      states: () => this.fleet.counts(),
      connected: () => {
        const all = [...(this.#links?.arrivals.connections ?? [])];
        const dialled = all.filter(({ origin }) => origin === 'dialled').length;
        return { dialled, accepted: all.length - dialled };
      },
      handshakesWaiting: () => this.#gate.waiting,
      requestsWaiting: () => this.#sweep.waiting,
      oldestHeartbeatSeconds: () => {
        const now = this.now().getTime();
        const oldest = active().reduce(
          (least, record) => Math.min(least, record.lastSeenAt ?? record.row.registered_at),
          now,
        );
        return (now - oldest) / 1000;
      },
      certificatesExpiring: () => {
        const soon = this.now().getTime() + weekMs;
        return active().filter(({ peer }) => peer !== undefined && peer.notAfter < soon).length;
      },
      configurationsBehind: () =>
        active().filter((record) => record.row.desired_version > 0 && !isEffective(record)).length,
      storeIsWell: () => this.store.problem === undefined,
    };
  }
}

/** What there is once it is known who we are. */
interface Links {
  readonly arrivals: Arrivals;
  readonly dialler: Dialler;
  readonly acceptor: Acceptor | undefined;
  readonly activation: Activation;
  readonly https: AdminService | undefined;
  close(): Promise<void>;
}

function storeUrl({ store }: ManagerConfig): string {
  if (store.kind === 'sqlite') return `sqlite:${store.path}`;
  return readFileSync(store.urlFile, 'utf8').trim();
}

const keepAliveTurns = 10;
const weekMs = 7 * 86_400_000;
