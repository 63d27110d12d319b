import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import {
  AdministrationServiceClient,
  RevokeRequest,
} from '../../src/gen/sidekey/v1/administration.ts';
import { type Agent, startAgent } from '../../src/apps/agent/agent.ts';
import { parseAgentConfig } from '../../src/apps/agent/config.ts';
import { directProtocols, reverseProtocols } from '../../src/apps/fleet/agent-api/connection.ts';
import { parseManagerConfig } from '../../src/apps/manager/config.ts';
import { type Manager, startManager } from '../../src/apps/manager/manager.ts';
import type { Administration } from '../../src/apps/manager/admin/index.ts';
import { createAdministration } from '../../src/apps/manager/administration/fleet-administration.ts';
import { parseEnrolmentBundle } from '../../src/identity/enrolment-bundle.ts';
import {
  type ConnectOptions,
  createOffload,
  type Offload,
  type WrapOptions,
} from '../../src/offload/index.ts';
import { Fleet, type Member } from '../apps/authority/fleet.ts';
import { type LogLine, memoryLog } from '../sidecar/fixture.ts';

/** Where a manager lives: its sidecar, its configuration, its state. */
export interface ManagerHome {
  readonly host: Member;
  readonly configText: string;
  readonly directory: string;
}

/** A manager that runs, and what tests do with it. */
export interface RunningManager extends ManagerHome {
  readonly manager: Manager;
  readonly administration: Administration;
  readonly log: readonly LogLine[];
}

/** A real authority, real sidecars, real managers and agents, each composed as its own process would be. */
export class ManagedFleet {
  readonly fleet = new Fleet();
  readonly #directory = mkdtempSync(join(tmpdir(), 'sidekey-managed-'));
  readonly #managers = new Set<Manager>();
  readonly #agents = new Set<Agent>();
  readonly #logs: (readonly LogLine[])[] = [];
  #count = 0;
  authority!: Awaited<ReturnType<Fleet['startAuthority']>>;

  /** Of all managers and agents. */
  get logs(): readonly LogLine[] {
    return this.#logs.flat();
  }

  async start(): Promise<void> {
    this.authority = await this.fleet.startAuthority();
  }

  /** Starts a manager with a sidecar of its own that has enrolled as one. */
  async startManager(extra = '', now?: () => Date): Promise<RunningManager> {
    return await this.startAgain(await this.managerHome(extra), now);
  }

  /** A sidecar that has enrolled as a manager, and a configuration. */
  async managerHome(extra = ''): Promise<ManagerHome> {
    const uid = String(process.getuid?.() ?? 0);
    const host = await this.fleet.startHostOf(
      `, allow: [{ uid: ${uid}, identities: [host], pinnedPeers: true }]`,
      'identities: { host: { enrolled: true, default: true } }\n',
    );
    await this.fleet.enroll(this.authority.running, host, 'manager');
    const directory = this.directory('manager');
    const configText = [
      'state: ./state',
      `sidecar: "${host.composition.sidecar.address}"`,
      'identity: host',
      'listen: 127.0.0.1:0',
      'advertise: ["127.0.0.1:1"]',
      'heartbeat: { interval: 500ms, timeout: 5s }',
      'reconnect: { first: 50ms, most: 500ms }',
      extra,
    ].join('\n');
    return { host, configText, directory };
  }

  /** Starts a manager on the state of one that has ended. */
  async startAgain(
    { host, configText, directory }: ManagerHome,
    now?: () => Date,
  ): Promise<RunningManager> {
    const { log, lines } = memoryLog();
    this.#logs.push(lines);
    const config = parseManagerConfig(configText, join(directory, 'manager.yaml'));
    const clock = now === undefined ? {} : { now };
    const manager = await startManager(config, { log, version: 'test', ...clock });
    this.#managers.add(manager);
    await eventually(() => manager.status().spiffeId !== undefined);
    await manager.linked();
    const administration = createAdministration(manager);
    return { manager, administration, host, log: lines, configText, directory };
  }

  /** Starts an agent with a sidecar of its own. `enrolled`: by the authority, before it starts. */
  async startAgent(options: {
    readonly enrolled: boolean;
    readonly config: string;
    readonly host?: Member;
    /** What it speaks is HTTP/1.1 alone. */
    readonly http1?: boolean;
  }): Promise<{ readonly agent: Agent; readonly host: Member; readonly log: readonly LogLine[] }> {
    const host = options.host ?? (await this.startAgentHost());
    if (options.enrolled && options.host === undefined) {
      await this.fleet.enroll(this.authority.running, host, 'agent');
    }
    const directory = this.directory('agent');
    const config = parseAgentConfig(
      [
        'state: ./state',
        `sidecar: "${host.composition.sidecar.address}"`,
        'identity: host',
        ...(options.enrolled ? [] : ['bootstrap: bootstrap']),
        options.config,
      ].join('\n'),
      join(directory, 'agent.yaml'),
    );
    const { log, lines } = memoryLog();
    this.#logs.push(lines);
    const offload = options.http1 === true ? { offload: http1Only(config.sidecar) } : {};
    const agent = await startAgent(config, { log, version: 'test', ...offload });
    this.#agents.add(agent);
    return { agent, host, log: lines };
  }

  /** A sidecar with a bootstrap identity, until it enrols. */
  async startAgentHost(): Promise<Member> {
    const roots = join(this.#directory, 'roots.pem');
    writeFileSync(roots, await this.#roots());
    return await this.fleet.startHostOf(
      '',
      `identities:\n  host: { enrolled: true, default: true }\n  bootstrap: { selfSigned: true, until: host, trust: "${roots}" }\n`,
    );
  }

  /** What an enrolment bundle says to trust, as PEM. */
  async #roots(): Promise<string> {
    const { roots } = parseEnrolmentBundle(await this.fleet.mint(this.authority.running, 'agent'));
    return roots.map((der) => new X509Certificate(der).toString()).join('');
  }

  /** Revokes an agent by its UUID. */
  async revoke(uuid: string): Promise<void> {
    const { administration } = this.authority.running;
    const client = new AdministrationServiceClient(administration, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    const request = RevokeRequest.fromPartial({
      idempotencyKey: uuid,
      subject: { $case: 'agentId', value: Buffer.from(uuid.replaceAll('-', ''), 'hex') },
      reason: 'keyCompromise',
    });
    try {
      await new Promise<void>((resolve, reject) => {
        client.revoke(request, (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      });
    } finally {
      client.close();
    }
  }

  async stopAgent(agent: Agent): Promise<void> {
    this.#agents.delete(agent);
    await agent.close();
  }

  directory(name: string): string {
    this.#count += 1;
    return mkdtempSync(join(this.#directory, `${name}-${String(this.#count)}-`));
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await agent.close();
    for (const manager of this.#managers) await manager.close();
    await this.fleet.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** As an application that has no HTTP/2 would connect. */
function http1Only(address: string): Offload {
  const offload = createOffload({ address });
  const [connect, wrap] = [offload.connect.bind(offload), offload.wrap.bind(offload)];
  return Object.assign(offload, {
    connect: (options: ConnectOptions) =>
      connect({ ...options, ALPNProtocols: [reverseProtocols[1]] }),
    wrap: (raw: Duplex, options: WrapOptions) =>
      wrap(raw, { ...options, ALPNProtocols: [directProtocols[1]] }),
  });
}

/** Waits until something is so; it has to be soon. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${String(withinMs)} ms`);
    await delay(10);
  }
}
