import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Agent, type AgentOptions, startAgent } from '../../../../src/apps/agent/agent.ts';
import { type AgentConfig, parseAgentConfig } from '../../../../src/apps/agent/config.ts';
import type { AgentState } from '../../../../src/apps/fleet/agent-api/messages.ts';
import { type ConnectOptions, createOffload, type Offload } from '../../../../src/offload/index.ts';
import {
  type LogLine,
  memoryLog,
  startTestSidecar,
  type TestSidecar,
} from '../../../sidecar/fixture.ts';
import { createTestCa } from '../../../support/test-ca.ts';
import { dialAgent, TestManager } from './test-manager.ts';
import { TestUpkeep } from './test-upkeep.ts';

export const ids = {
  agent: 'spiffe://example.org/agent/0a000000-0000-4000-8000-000000000001',
  otherAgent: 'spiffe://example.org/agent/0a000000-0000-4000-8000-000000000002',
  manager: 'spiffe://example.org/manager/0b000000-0000-4000-8000-000000000001',
  otherManager: 'spiffe://example.org/manager/0b000000-0000-4000-8000-000000000002',
  farManager: 'spiffe://elsewhere.org/manager/0b000000-0000-4000-8000-000000000003',
  operator: 'spiffe://example.org/operator/0c000000-0000-4000-8000-000000000001',
} as const;

/**
 * Agents over one real sidecar, which has an identity for each part that is played: `agent`, `bootstrap`, `manager` and
 * those who should not be let in. Whether the agent has enrolled is said by the test, as file identities always have.
 */
export class AgentStage {
  readonly sidecar: TestSidecar;
  readonly foreign: TestSidecar;
  readonly offload: Offload;
  readonly foreignOffload: Offload;
  readonly #agents = new Set<TestAgent>();

  private constructor(sidecar: TestSidecar, foreign: TestSidecar) {
    this.sidecar = sidecar;
    this.foreign = foreign;
    this.offload = createOffload({ address: sidecar.address });
    this.foreignOffload = createOffload({ address: foreign.address });
  }

  static async open(): Promise<AgentStage> {
    const identities = Object.fromEntries(
      Object.entries(ids).map(([name, id]) => [name, { uris: [id] }]),
    );
    const sidecar = await startTestSidecar({
      identities: { ...identities, bootstrap: { dnsNames: ['bootstrap'] } },
    });
    const foreign = await startTestSidecar({
      ca: createTestCa({ name: 'Another Root' }),
      identities: { manager: { uris: [ids.manager] } },
    });
    return new AgentStage(sidecar, foreign);
  }

  /** An agent in a directory of its own, in this state. */
  async start(
    state: AgentState,
    options: { readonly extra?: string; readonly agent?: Partial<AgentOptions> } = {},
  ): Promise<TestAgent> {
    const directory = mkdtempSync(join(tmpdir(), 'sidekey-agent-'));
    const text = options.extra?.includes('mode:') === true ? '' : 'listen: 127.0.0.1:0\n';
    const config = parseAgentConfig(
      `sidecar: ${this.sidecar.address}\nbootstrap: bootstrap\n${text}${options.extra ?? ''}`,
      join(directory, 'agent.yaml'),
    );
    const upkeep = new TestUpkeep(ids.agent, state === 'active' || state === 'deactivated');
    const agent = new TestAgent(this, config, upkeep, directory, options.agent ?? {});
    this.#agents.add(agent);
    await agent.start();
    if (state === 'active') await agent.reaches('active');
    if (state === 'activating') {
      await agent.parts.record.update(() => ({ state: 'activating' }));
    }
    if (state === 'deactivated') {
      await agent.reaches('active');
      await agent.parts.activation.deactivate();
    }
    await agent.settles();
    return agent;
  }

  async closeAgents(): Promise<void> {
    for (const agent of this.#agents) await agent.close();
    for (const { directory } of this.#agents) rmSync(directory, { recursive: true, force: true });
    this.#agents.clear();
  }

  async close(): Promise<void> {
    await this.closeAgents();
    await this.offload.close();
    await this.foreignOffload.close();
    await this.sidecar.close();
    await this.foreign.close();
  }
}

export class TestAgent {
  readonly upkeep: TestUpkeep;
  readonly directory: string;
  readonly log: LogLine[] = [];
  readonly #stage: AgentStage;
  readonly #config: AgentConfig;
  readonly #options: Partial<AgentOptions>;
  readonly #managers: TestManager[] = [];
  #agent: Agent | undefined;

  constructor(
    stage: AgentStage,
    config: AgentConfig,
    upkeep: TestUpkeep,
    directory: string,
    options: Partial<AgentOptions>,
  ) {
    this.#stage = stage;
    this.#config = config;
    this.upkeep = upkeep;
    this.directory = directory;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { log, lines } = memoryLog();
    this.#agent = await startAgent(this.#config, {
      log,
      version: '1.2.3',
      upkeep: this.upkeep,
      ...this.#options,
    });
    this.log.length = 0;
    // One list over restarts.
    (lines as LogLine[]).push = (...more) => this.log.push(...more);
    this.log.push(...lines);
    await this.settles();
  }

  get parts(): Agent['parts'] {
    return this.agent.parts;
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new TypeError('agent is closed');
    return this.#agent;
  }

  get address(): string {
    return this.agent.listening ?? '';
  }

  /** Dials it as a manager, as it is to be dialled now. */
  async manager(options: ConnectOptions = {}): Promise<TestManager> {
    const manager = await TestManager.dial(this.#stage.offload, this.address, {
      identity: 'manager',
      ...this.#expected,
      ...options,
    });
    this.#managers.push(manager);
    return manager;
  }

  /** A connection on which nothing was said yet. */
  dial(options: ConnectOptions = {}, offload = this.#stage.offload) {
    return dialAgent(offload, this.address, { identity: 'manager', ...this.#expected, ...options });
  }

  async reaches(state: AgentState): Promise<void> {
    while (this.parts.record.data.state !== state) await turn();
  }

  /** Connections are as they are to be. */
  async settles(): Promise<void> {
    for (let count = 0; count < 20; count += 1) await turn();
    await this.parts.reconnect();
  }

  async close(): Promise<void> {
    for (const manager of this.#managers.splice(0)) manager.close();
    await this.#agent?.close();
    this.#agent = undefined;
  }

  async restart(): Promise<void> {
    await this.close();
    await this.start();
  }

  get #expected(): ConnectOptions {
    return this.parts.record.data.state === 'active'
      ? { targetIdentities: [ids.agent] }
      : { servername: 'bootstrap' };
  }
}

export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
