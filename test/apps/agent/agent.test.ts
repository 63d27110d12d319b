import { expect } from 'chai';
import { heartbeat, hello, status } from '../../../src/apps/fleet/agent-api/messages.ts';
import { AgentStage, ids } from './support/test-agent.ts';

const bundle = { 'content-type': 'application/x-pem-file', 'idempotency-key': 'key-1' };

describe('an agent', () => {
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

  it('says hello before it is activated', async () => {
    const agent = await stage.start('bootstrapped');
    const manager = await agent.manager();
    const { status: code, body } = await manager.get('/v1/hello');
    expect(code).to.equal(200);
    expect(hello.parse(body)).to.deep.include({
      state: 'bootstrapped',
      mode: 'manager-initiated',
      version: '1.2.3',
      bootstrapKeyHash: '1'.padStart(64, '0'),
    });
  });

  it('is activated, once, and is somebody else from then on', async () => {
    const agent = await stage.start('bootstrapped');
    const manager = await agent.manager();
    const ask = { bytes: Buffer.from('a bundle'), headers: bundle };
    const { status: code, body } = await manager.ask('POST', '/v1/activate', ask);
    expect(body).to.include({ state: 'active', agentId: ids.agent });
    expect(code).to.equal(200);
    expect(agent.upkeep.bundles.map(String)).to.deep.equal(['a bundle']);
    // The connection of before ends, and none is made by it any more.
    await manager.closed;
    const again = await agent.manager();
    expect((await again.ask('POST', '/v1/activate', ask)).body).to.deep.equal(body);
    expect(agent.upkeep.bundles).to.have.length(1);
    const other = await again.ask('POST', '/v1/activate', {
      ...ask,
      headers: { ...bundle, 'idempotency-key': 'key-2' },
    });
    expect(other.body.error.code).to.equal('not_in_this_state');
    expect((await again.get('/v1/hello')).body).to.include({ state: 'active', agentId: ids.agent });
  });

  it('tells how it is, and what happened', async () => {
    const agent = await stage.start('active');
    const manager = await agent.manager();
    const beat = await manager.ask('POST', '/v1/heartbeat', {
      json: { managerTime: new Date().toISOString() },
    });
    expect(heartbeat.parse(beat.body)).to.deep.include({
      problems: [],
      configuration: { version: 0, hash: '' },
      mode: 'manager-initiated',
    });
    const { body } = await manager.get('/v1/status');
    expect(
      status.parse(body).ports.some(({ port }) => agent.address.endsWith(`:${String(port)}`)),
    ).to.equal(true);
    const page = await manager.get('/v1/events?after=0&max=10');
    expect(page.body.events.map(({ kind }: { kind: string }) => kind)).to.deep.equal([
      'started',
      'activated',
    ]);
  });
});
