import { once } from 'node:events';
import { expect } from 'chai';
import { agentStates } from '../../../src/apps/fleet/agent-api/messages.ts';
import { type Verb, verbs } from '../../../src/apps/fleet/agent-api/verbs.ts';
import type { ConnectOptions, Offload, OffloadSocket } from '../../../src/offload/index.ts';
import { AgentStage, ids, type TestAgent } from './support/test-agent.ts';
import type { Ask } from './support/test-manager.ts';
import { sidecarAway } from './support/test-upkeep.ts';

const all: readonly Verb[] = Object.values(verbs);

type Peer = readonly [who: string, options: ConnectOptions, offload: Offload];

/** A request of each verb that would be answered where the verb is. */
const asks: Readonly<Record<string, readonly [path: string, ask?: Ask]>> = {
  health: ['/healthz'],
  hello: ['/v1/hello'],
  activate: [
    '/v1/activate',
    {
      bytes: Buffer.from('a bundle'),
      headers: { 'content-type': 'application/x-pem-file', 'idempotency-key': 'a' },
    },
  ],
  status: ['/v1/status'],
  events: ['/v1/events?after=0&max=1'],
  heartbeat: ['/v1/heartbeat', { json: { managerTime: '2026-01-01T00:00:00Z' } }],
  configure: [
    '/v1/config',
    { bytes: Buffer.from('sealed'), headers: { 'content-type': 'application/cms' } },
  ],
  recipient: ['/v1/recipient'],
  effective: ['/v1/config/effective'],
  operate: ['/v1/ops/none', { json: {}, headers: { 'idempotency-key': 'b' } }],
  operation: ['/v1/ops/0a000000-0000-4000-8000-000000000009'],
  mode: ['/v1/mode', { json: { mode: 'manager-initiated' } }],
  rotate: ['/v1/rotate', { json: {} }],
  deactivate: ['/v1/deactivate', { json: {} }],
};

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

  for (const state of agentStates) {
    it(`are answered while it is ${state} as the contract has it`, async () => {
      const agent = await stage.start(state);
      const manager = await agent.manager();
      // What changes the state comes last.
      const inOrder = [...all].sort((a, b) => Number(changes(a)) - Number(changes(b)));
      const answered: string[] = [];
      for (const verb of inOrder) {
        const [path, ask] = asks[verb.name]!;
        const { status, body } = await manager.ask(verb.method, path, ask);
        const refused = status === 403 && body.error.code === 'not_in_this_state';
        if (!refused) answered.push(verb.name);
        expect(status).to.not.equal(500);
        if (changes(verb) && !refused) break;
      }
      const expected = all.filter(({ states }) => states.includes(state)).map(({ name }) => name);
      expect(answered.sort()).to.deep.equal(expected.sort());
      expect(agent.upkeep.calls.filter((call) => call === 'enroll')).to.have.length(
        expected.includes('activate') ? 1 : 0,
      );
    });

    it(`are for managers alone while it is ${state}`, async () => {
      const agent = await stage.start(state);
      const farManager: Peer = [
        'a manager of another domain',
        { identity: 'farManager' },
        stage.offload,
      ];
      const peers: readonly Peer[] = [
        ['an agent', { identity: 'otherAgent' }, stage.offload],
        ['itself', { identity: 'agent' }, stage.offload],
        ['an operator', { identity: 'operator' }, stage.offload],
        ['a bootstrap certificate', { identity: 'bootstrap' }, stage.offload],
        ['nobody', { anonymous: true }, stage.offload],
        ['a manager of another authority', { identity: 'manager' }, stage.foreignOffload],
        ['no ALPN', { ALPNProtocols: [] }, stage.offload],
        ['ALPN of an agent', { ALPNProtocols: ['sidekey-reverse-h2/1'] }, stage.offload],
        // Before it has an identity, an agent has no domain of its own.
        ...(state === 'active' ? [farManager] : []),
      ];
      for (const [who, options, offload] of peers) {
        expect(await bytesOfHttp(agent, options, offload), who).to.equal(0);
      }
      const unserved = agent.log.filter(({ msg }) => msg.startsWith('request'));
      expect(unserved).to.deep.equal([]);
      // It goes on for those who may.
      expect((await (await agent.manager()).get('/v1/hello')).status).to.equal(200);
    });
  }

  it('are for the managers that are named, where some are', async () => {
    const agent = await stage.start('active', { extra: `manager: ${ids.otherManager}\n` });
    expect(await bytesOfHttp(agent, { identity: 'manager' }, stage.offload)).to.equal(0);
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

function changes({ name }: Verb): boolean {
  return name === 'activate' || name === 'deactivate';
}

/** How much the agent said, of HTTP, to somebody who asks as soon as it can. */
async function bytesOfHttp(
  agent: TestAgent,
  options: ConnectOptions,
  offload: Offload,
): Promise<number> {
  const socket: OffloadSocket = agent.dial(options, offload);
  socket.on('error', () => undefined);
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve) => socket.once('close', resolve));
  return bytes;
}
