import { once } from 'node:events';
import { expect } from 'chai';
import { agentStates } from '../../../src/apps/fleet/agent-api/messages.ts';
import { type VerbName, verbs } from '../../../src/apps/fleet/agent-api/verbs.ts';
import type { AgentRecord } from '../../../src/apps/manager/fleet/agent-record.ts';
import type { ConnectOptions, Offload } from '../../../src/offload/index.ts';
import type { LogLine } from '../../sidecar/fixture.ts';
import { eventually, ManagedFleet } from '../../support/managed-fleet.ts';
import { http2Preface } from '../../support/plaintext-capture.ts';
import { speak } from './support/http-over.ts';
import { AgentStage, ids } from './support/test-agent.ts';
import { type Ask, dialAgent, TestManager } from './support/test-manager.ts';
import { sidecarAway } from './support/test-upkeep.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };

/** As the agent is … */
const states = ['bootstrapped', 'activating', 'active', 'deactivated'] as const;
/** … or an active one with a manager that has quarantined it, or with a peer that is no manager (any more). */
const columns = [...states, 'quarantined', 'wrong role', 'revoked'] as const;

/** `refuses`: by an answer of 403; `shut`: the connection is over before a byte of HTTP. */
type Cell = 'answers' | 'refuses' | 'shut';
const [yes, no, shut] = ['answers', 'refuses', 'shut'] as const;

interface Row {
  /** What would be answered where the verb is. */
  readonly path: string;
  readonly ask?: Ask;
  /** In the order of the columns. */
  readonly cells: readonly [Cell, Cell, Cell, Cell, Cell, Cell, Cell];
}

const table: Readonly<Record<VerbName, Row>> = {
  health: { path: '/healthz', cells: [yes, yes, yes, yes, shut, shut, shut] },
  hello: { path: '/v1/hello', cells: [yes, yes, yes, yes, shut, shut, shut] },
  activate: {
    path: '/v1/activate',
    ask: {
      bytes: Buffer.from('a bundle'),
      headers: { 'content-type': 'application/x-pem-file', 'idempotency-key': 'a' },
    },
    cells: [yes, yes, no, no, shut, shut, shut],
  },
  status: { path: '/v1/status', cells: [no, no, yes, no, shut, shut, shut] },
  events: { path: '/v1/events?after=0&max=1', cells: [no, no, yes, no, shut, shut, shut] },
  heartbeat: {
    path: '/v1/heartbeat',
    ask: { json: { managerTime: '2026-01-01T00:00:00Z' } },
    cells: [no, no, yes, no, shut, shut, shut],
  },
  configure: {
    path: '/v1/config',
    ask: { bytes: Buffer.from('sealed'), headers: { 'content-type': 'application/cms' } },
    cells: [no, no, yes, no, shut, shut, shut],
  },
  recipient: { path: '/v1/recipient', cells: [no, no, yes, no, shut, shut, shut] },
  effective: { path: '/v1/config/effective', cells: [no, no, yes, no, shut, shut, shut] },
  operate: {
    path: '/v1/ops/none',
    ask: { json: {}, headers: { 'idempotency-key': 'b' } },
    cells: [no, no, yes, no, shut, shut, shut],
  },
  operation: {
    path: '/v1/ops/0a000000-0000-4000-8000-000000000009',
    cells: [no, no, yes, no, shut, shut, shut],
  },
  mode: {
    path: '/v1/mode',
    ask: { json: { mode: 'manager-initiated' } },
    cells: [no, no, yes, no, shut, shut, shut],
  },
  rotate: { path: '/v1/rotate', ask: { json: {} }, cells: [no, no, yes, no, shut, shut, shut] },
  deactivate: {
    path: '/v1/deactivate',
    ask: { json: {} },
    cells: [no, no, yes, no, shut, shut, shut],
  },
};

/** The table, column by column. */
const cellsOf = (column: (typeof columns)[number]): Readonly<Record<string, Cell>> =>
  Object.fromEntries(names.map((name) => [name, table[name].cells[columns.indexOf(column)]!]));

const names = Object.keys(table) as readonly VerbName[];

type Peer = readonly [who: string, options: ConnectOptions, offload: Offload];

describe('verbs of an agent', () => {
  let stage: AgentStage;

  before(async () => {
    stage = await AgentStage.open();
  });

  afterEach(async () => {
    await stage.closeAgents();
  });

  after(async () => {
    await stage.close();
  });

  it('have a row each, for every state the contract has', () => {
    expect(names).to.have.members(Object.keys(verbs));
    expect(states).to.have.members([...agentStates]);
    for (const name of names) {
      const answered = states.filter((state) => cellsOf(state)[name] === 'answers');
      expect(answered, name).to.have.members([...verbs[name].states]);
    }
  });

  for (const state of states) {
    it(`are answered while it is ${state} as the table has it`, async () => {
      const agent = await stage.start(state);
      const manager = await agent.manager();
      const found: Record<string, Cell> = {};
      // What changes the state comes last.
      const last = names.filter((name) => changes(name) && cellsOf(state)[name] === 'answers');
      for (const name of [...names.filter((name) => !last.includes(name)), ...last]) {
        const { path, ask } = table[name];
        const { status, body } = await manager.ask(verbs[name].method, path, ask);
        expect(status, name).to.not.equal(500);
        const refused = status === 403 && body.error.code === 'not_in_this_state';
        found[name] = refused ? 'refuses' : 'answers';
      }
      expect(found).to.deep.equal(cellsOf(state));
      const enrolled = agent.upkeep.calls.filter((call) => call === 'enroll');
      expect(enrolled).to.have.length(found['activate'] === 'answers' ? 1 : 0);
    });

    it(`are for managers alone while it is ${state}`, async () => {
      const agent = await stage.start(state);
      const farManager: Peer = [
        'a manager of another domain',
        { identity: 'farManager' },
        stage.offload,
      ];
      const peers: readonly Peer[] = [
        ['itself', { identity: 'agent' }, stage.offload],
        ['a bootstrap certificate', { identity: 'bootstrap' }, stage.offload],
        ['nobody', { anonymous: true }, stage.offload],
        ['a manager of another authority', { identity: 'manager' }, stage.foreignOffload],
        ['no ALPN', { ALPNProtocols: [] }, stage.offload],
        ['ALPN of an agent', { ALPNProtocols: ['sidekey-reverse-h2/1'] }, stage.offload],
        // Before it has an identity, an agent has no domain of its own.
        ...(state === 'active' ? [farManager] : []),
      ];
      for (const [who, options, offload] of peers) {
        const { bytes } = await speak(agent.dial(options, offload), http2Preface);
        expect(bytes, who).to.equal(0);
      }
      expect(requestsIn(agent.log)).to.deep.equal([]);
      // It goes on for those who may.
      expect((await (await agent.manager()).get('/v1/hello')).status).to.equal(200);
    });

    for (const identity of ['otherAgent', 'operator'] as const) {
      it(`are shut to the role of ${identity} while it is ${state}`, async () => {
        const agent = await stage.start(state);
        const found: Record<string, Cell> = {};
        for (const name of names) {
          const socket = agent.dial({ identity, ALPNProtocols: ['http/1.1'] });
          const { secured, bytes } = await speak(socket, http1Request(name));
          found[name] = !secured && bytes === 0 ? 'shut' : 'answers';
        }
        expect(found).to.deep.equal(cellsOf('wrong role'));
        expect(requestsIn(agent.log)).to.deep.equal([]);
        expect(agent.log.filter(({ msg }) => msg === 'peer refused')).to.have.length(names.length);
      });
    }
  }

  describe('with a real authority and a real manager', function () {
    this.timeout(60_000);
    let all: ManagedFleet;

    before(async () => {
      all = new ManagedFleet();
      await all.start();
    });

    after(async () => {
      await all.close();
    });

    it('are shut to a manager that is revoked, whose live connection ends', async () => {
      const { agent, log } = await all.startAgent({
        enrolled: true,
        config: 'listen: 127.0.0.1:0',
      });
      await eventually(() => agent.parts.record.data.state === 'active');
      const host = await all.fleet.startHost();
      const managerId = await all.fleet.enroll(all.authority.running, host, 'manager');
      const offload = all.fleet.application(host);
      const dial = (protocol: string) =>
        dialAgent(offload, agent.listening!, {
          targetIdentities: [agent.parts.record.data.agentId!],
          ALPNProtocols: [protocol],
        });
      const socket = dial('h2');
      await once(socket, 'secureConnect');
      const manager = TestManager.over(socket);
      expect((await manager.get('/v1/status')).status).to.equal(200);
      await all.revoke(managerId.slice(-36));
      await manager.closed;
      const before = requestsIn(log).length;
      const found: Record<string, Cell> = {};
      for (const name of names) {
        const { secured, bytes } = await speak(dial('http/1.1'), http1Request(name));
        found[name] = !secured && bytes === 0 ? 'shut' : 'answers';
      }
      expect(found).to.deep.equal(cellsOf('revoked'));
      expect(requestsIn(log)).to.have.length(before);
    });

    it('are asked of nobody by a manager that has quarantined the agent', async () => {
      const { manager, administration } = await all.startManager();
      const { log } = await all.startAgent({
        enrolled: true,
        config: `mode: agent-initiated\nmanagers: ["${manager.listening!}"]\nreconnect: { least: 10ms, first: 20ms, most: 20ms }\noperations: { none: { command: [/bin/true] } }`,
      });
      await eventually(() => manager.fleet.size === 1);
      const [{ row }] = [...manager.fleet.all()] as [AgentRecord];
      await administration.activate(row.id, undefined, owner);
      await eventually(() => manager.status().connected === 1);
      await administration.agentStatus(row.id);
      await administration.change(row.id, 'quarantine', 'looks odd', owner);
      await eventually(() => ended(log) > 0);
      const [asked, connections] = [requestsIn(log).length, ended(log)];
      // Everything an administrator can have it asked; what a sweep asks by itself, it has time for meanwhile.
      const selection = { agents: [row.id] };
      const attempts: readonly (() => Promise<unknown>)[] = [
        () => administration.agentStatus(row.id),
        () => administration.effectiveConfiguration(row.id),
        () => administration.activate(row.id, undefined, owner),
        () => administration.changeMode(row.id, { mode: 'bidirectional' }, owner),
        () => administration.change(row.id, 'rotate', '', owner),
        () => administration.configure({ selection, content: {}, lifetimeSeconds: 600 }, owner),
        () =>
          administration.operate(
            { operation: 'none', arguments: {}, selection, concurrency: 1, deadlineSeconds: 1 },
            owner,
          ),
      ];
      for (const attempt of attempts) await attempt().catch(() => undefined);
      // It comes back again and again, and hears nothing.
      await eventually(() => ended(log) > connections + 3);
      expect(manager.status().connected).to.equal(0);
      await administration.change(row.id, 'deactivate', 'for good', owner);
      await eventually(() => ended(log) > connections + 5);
      expect(new Set(Object.values(cellsOf('quarantined')))).to.deep.equal(new Set(['shut']));
      expect(requestsIn(log).slice(asked)).to.deep.equal([]);
    });
  });

  it('are for the managers that are named, where some are', async () => {
    const agent = await stage.start('active', { extra: `manager: ${ids.otherManager}\n` });
    const { bytes } = await speak(agent.dial({ identity: 'manager' }), http2Preface);
    expect(bytes).to.equal(0);
    const other = await agent.manager({ identity: 'otherManager' });
    expect((await other.get('/v1/hello')).status).to.equal(200);
  });

  it('cannot be reached by the certificate of before, once it is active', async () => {
    const agent = await stage.start('active');
    const socket = agent.dial({ servername: 'bootstrap', targetIdentities: undefined });
    const [error] = (await once(socket, 'error')) as [Error & { code: string }];
    expect(error.code).to.equal('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('say hello only, once it is deactivated, as somebody new', async () => {
    const agent = await stage.start('active');
    const manager = await agent.manager();
    const { body } = await manager.ask('POST', '/v1/deactivate', { json: {} });
    expect(body).to.deep.equal({ state: 'deactivated' });
    await manager.closed;
    await agent.settles();
    const { body: said } = await (await agent.manager()).get('/v1/hello');
    expect(said).to.include({ state: 'deactivated', bootstrapKeyHash: '2'.padStart(64, '0') });
    expect(said).to.not.have.property('agentId');
    await agent.restart();
    expect(agent.parts.record.data.state).to.equal('deactivated');
  });

  it('finish what they began when the sidecar was away', async () => {
    const agent = await stage.start('active');
    agent.upkeep.failure = sidecarAway();
    const manager = await agent.manager();
    const refused = await manager.ask('POST', '/v1/deactivate', { json: {} });
    expect(refused.body.error.code).to.equal('unavailable');
    expect(agent.parts.record.data).to.include({ state: 'deactivated', forgetting: true });
    agent.upkeep.failure = undefined;
    await agent.restart();
    while (agent.parts.record.data.forgetting) await agent.settles();
    expect(agent.upkeep.enrolled).to.equal(false);
  });
});

function changes(name: VerbName): boolean {
  return name === 'activate' || name === 'deactivate';
}

/** A request of HTTP/1.1 that would be answered, were it heard. */
function http1Request(name: VerbName): string {
  const { path, ask } = table[name];
  const headers = Object.entries({ 'content-length': '0', ...ask?.headers });
  const lines = headers.map(([field, value]) => `${field}: ${value}\r\n`).join('');
  return `${verbs[name].method} ${path} HTTP/1.1\r\nhost: agent\r\n${lines}\r\n`;
}

/** Every request an agent has heard, whatever became of it. */
function requestsIn(log: readonly LogLine[]): readonly LogLine[] {
  return log.filter(({ msg }) => msg.startsWith('request'));
}

function ended(log: readonly LogLine[]): number {
  return log.filter(({ msg }) => msg === 'connection of a manager ended').length;
}
