import { createHash } from 'node:crypto';
import { nodeTimers, readBounded, StateDirectory } from '../../identity/index.ts';
import { createOffload, type Offload, OffloadError, parseSidekeyId } from '../../offload/index.ts';
import type { ConfigurationOpener } from '../fleet/configuration/index.ts';
import { Activation } from './activation.ts';
import type { AgentParts, ConnectionSettings } from './agent-parts.ts';
import { FileWatch } from './collectors/file-watch.ts';
import { PortWatch } from './collectors/port-watch.ts';
import type { AgentConfig } from './config.ts';
import { Configurations } from './configuration/configurations.ts';
import { Connectivity } from './connections/connectivity.ts';
import { HttpServers, type HttpTimes } from './connections/http-servers.ts';
import { type IdentityInUse, managersOf } from './connections/identity-in-use.ts';
import { EventSpool } from './events/event-spool.ts';
import { RefusalReports } from './events/refusal-reports.ts';
import {
  type IdentityFacts,
  IdentityState,
  type IdentityUpkeep,
} from './identities/identity-state.ts';
import { Operations } from './operations/operations.ts';
import { RequestService } from './requests/request-service.ts';
import { AgentRecord } from './state/agent-record.ts';
import type { Surroundings } from './surroundings.ts';
import { handlersOf } from './verbs/handlers.ts';

export interface AgentOptions
  extends Pick<Surroundings, 'log' | 'version'>, Partial<Omit<Surroundings, 'log' | 'version'>> {
  /** Absent: one to the sidecar of the configuration. It is closed with the agent. */
  readonly offload?: Offload;
  /** Absent: the sidecar's own. */
  readonly upkeep?: IdentityUpkeep;
  readonly opener?: ConfigurationOpener;
  readonly httpTimes?: HttpTimes;
  readonly requestTimeoutMs?: number;
}

/** A running agent. */
export interface Agent {
  readonly parts: AgentParts;
  /** ADDRESS:PORT of its port; `undefined`: it has none open. */
  readonly listening: string | undefined;
  /** Answers what was asked, then ends. */
  close(): Promise<void>;
}

/** Starts an agent where it left off. Rejects with `StateError` or `DirectoryInUseError`, and leaves nothing running. */
export async function startAgent(config: AgentConfig, options: AgentOptions): Promise<Agent> {
  const surroundings: Surroundings = {
    log: options.log,
    version: options.version,
    now: options.now ?? (() => new Date()),
    timers: options.timers ?? nodeTimers,
    random: options.random ?? Math.random,
  };
  const directory = await StateDirectory.open(config.state);
  /** Newest first. */
  const closers: (() => Promise<void>)[] = [() => directory.close()];
  try {
    const record = await AgentRecord.open(directory);
    const spool = await EventSpool.open(directory, { ...config.events, ...surroundings });
    closers.unshift(() => spool.close());
    const offload =
      options.offload ??
      createOffload({
        address: config.sidecar,
        ...(config.tokenFile === undefined ? {} : { tokenFile: config.tokenFile }),
      });
    closers.unshift(() => offload.close());
    const files = new FileWatch({
      directory,
      allow: config.files.allow,
      limits: config.files,
      events: spool,
      surroundings,
    });
    closers.unshift(() => files.close());
    const configurations = await Configurations.open({
      config,
      record,
      opener: options.opener ?? offload.workload,
      events: spool,
      surroundings,
      inForce: (configuration, { version, hash }) => {
        const { watch } = configuration ?? { watch: { files: [], intervalSeconds: 300 } };
        files.watch({ ...watch, generation: `${String(version)} ${hash}` });
      },
    });
    const operations = await Operations.open({
      state: config.state,
      allowed: config.operations,
      narrowedTo: () => configurations.current?.operations,
      events: spool,
      surroundings,
    });
    return new RunningAgent({
      config,
      options,
      surroundings,
      directory,
      record,
      spool,
      offload,
      files,
      configurations,
      operations,
    });
  } catch (error) {
    for (const close of closers) await close();
    throw error;
  }
}

interface Foundation {
  readonly config: AgentConfig;
  readonly options: AgentOptions;
  readonly surroundings: Surroundings;
  readonly directory: StateDirectory;
  readonly record: AgentRecord;
  readonly spool: EventSpool;
  readonly offload: Offload;
  readonly files: FileWatch;
  readonly configurations: Configurations;
  readonly operations: Operations;
}

class RunningAgent implements Agent {
  readonly parts: AgentParts;
  readonly #foundation: Foundation;
  #reconciling: Promise<void> = Promise.resolve();
  #connecting: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(foundation: Foundation) {
    this.#foundation = foundation;
    const { config, options, surroundings, record, spool, offload } = foundation;
    const upkeep = options.upkeep ?? offload.workload;
    const refusals = new RefusalReports(spool, surroundings);
    const identities = new IdentityState(upkeep, config, surroundings, (facts) => {
      this.#heard(facts);
    });
    const activation = new Activation({
      record,
      upkeep,
      identity: config.identity,
      events: spool,
      surroundings,
      changed: () => void this.#follow(),
    });
    const servers = new HttpServers(
      (request, response, connection) => {
        service.handle(request, response, connection);
      },
      surroundings,
      options.httpTimes,
    );
    const connectivity = new Connectivity({
      offload,
      listen: config.listen,
      reconnect: config.reconnect,
      surroundings,
      serve: (connection) => servers.serve(connection),
      refused: (from, problem) => {
        refusals.add(from, problem);
      },
    });
    this.parts = {
      config,
      surroundings,
      startedAt: surroundings.now(),
      record,
      spool,
      identities,
      upkeep,
      activation,
      connectivity,
      operations: foundation.operations,
      configurations: foundation.configurations,
      files: foundation.files,
      ports: new PortWatch(config.status.portsEveryMs, spool, surroundings),
      connectionSettings: () => this.#settings,
      reconnect: () => this.#connect(),
    };
    const service = new RequestService({
      surroundings,
      state: () => record.data.state,
      handlers: handlersOf(this.parts),
      isRepeated: (request) =>
        request.route.verb === 'activate' && activation.isRepeated(request.idempotencyKey),
      answered: (verb) => {
        if (verb === 'mode' || verb === 'activate' || verb === 'deactivate') void this.#connect();
      },
      ...(options.requestTimeoutMs === undefined ? {} : { timeoutMs: options.requestTimeoutMs }),
    });
    surroundings.log.info(
      { state: record.data.state, instance: record.data.instanceId, events: spool.head },
      'agent started',
    );
    spool.add('started', `agent ${surroundings.version} started`, {
      version: surroundings.version,
    });
    identities.start();
    this.parts.ports.start();
    void this.#connect();
  }

  get listening(): string | undefined {
    return this.parts.connectivity.listening;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const { connectivity, files, identities, operations, ports, spool } = this.parts;
    ports.close();
    await files.close();
    await this.#connecting;
    await connectivity.close();
    await identities.close();
    await this.#reconciling;
    await operations.close();
    await spool.close();
    await this.#foundation.offload.close();
    await this.#foundation.directory.close();
  }

  get #settings(): ConnectionSettings {
    const { config, record } = this.#foundation;
    return record.data.connection ?? config;
  }

  /** One after the other, so that each sees what the one before made of it. */
  #heard(facts: IdentityFacts): void {
    const { activation, surroundings } = this.parts;
    this.#reconciling = this.#reconciling.then(async () => {
      if (this.#closed) return;
      try {
        await activation.reconcile(facts);
        await this.#enrolByFile(facts);
      } catch (error) {
        surroundings.log.error({ err: error }, 'state cannot follow the sidecar');
      }
      await this.#connect();
    });
  }

  /** Enrols with the bundle the configuration names, once. */
  async #enrolByFile({ enrolled }: IdentityFacts): Promise<void> {
    const { config, record, upkeep, surroundings } = this.parts;
    if (config.bundle === undefined || enrolled !== undefined) return;
    if (record.data.state !== 'bootstrapped') return;
    const bundle = await readBounded(config.bundle, maxBundleBytes);
    if (bundle === undefined) return;
    try {
      const usedBundle = createHash('sha256').update(bundle).digest('hex');
      if (record.data.usedBundle === usedBundle) return;
      await upkeep.enroll({ identity: config.identity, bundle });
      await record.update(() => ({ usedBundle }));
    } catch (error) {
      if (!(error instanceof OffloadError)) throw error;
      const { code, reason, message } = error;
      surroundings.log.error({ code, reason, problem: message }, 'enrolment by bundle failed');
    } finally {
      bundle.fill(0);
    }
  }

  /** Everything else follows the state. */
  async #follow(): Promise<void> {
    const { configurations, surroundings } = this.parts;
    try {
      await configurations.follow();
    } catch (error) {
      surroundings.log.error({ err: error }, 'configuration of before cannot be removed');
    }
    await this.#connect();
  }

  /** Makes connections follow state and settings. */
  #connect(): Promise<void> {
    this.#connecting = this.#connecting.then(async () => {
      if (this.#closed) return;
      await this.parts.connectivity.want({ ...this.#settings, identity: this.#identity() });
    });
    return this.#connecting;
  }

  #identity(): IdentityInUse | undefined {
    const { config, record } = this.#foundation;
    const { state, agentId } = record.data;
    if (state === 'active') {
      const trustDomain = parseSidekeyId(agentId)?.trustDomain;
      if (trustDomain === undefined) return undefined;
      const peers = config.manager ?? managersOf(trustDomain);
      return { stage: 'enrolled', name: config.identity, peers };
    }
    if (config.bootstrap === undefined) return undefined;
    // It has no domain of its own yet.
    return { stage: 'bootstrap', name: config.bootstrap, peers: config.manager ?? managersOf() };
  }
}

const maxBundleBytes = 256 * 1024;
