import { expect } from 'chai';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, ManagedFleet, type RunningManager } from '../../support/managed-fleet.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };

describe('a manager and real agents', function () {
  this.timeout(60_000);
  let all: ManagedFleet;
  let running: RunningManager;

  beforeEach(async () => {
    all = new ManagedFleet();
    await all.start();
    running = await all.startManager();
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') {
      // What happened is in the logs.
      process.stderr.write(`${all.logs.map((line) => JSON.stringify(line)).join('\n')}\n`);
    }
    await all.close();
  });

  const operation = [
    'operations:',
    '  greet: { command: [/bin/echo, "hello {who}"], arguments: { who: { pattern: "[a-z]+" } } }',
  ].join('\n');

  async function dialled() {
    const agent = await all.startAgent({
      enrolled: false,
      config: `listen: 127.0.0.1:0\nmode: manager-initiated\n${operation}`,
    });
    await eventually(() => agent.agent.listening !== undefined);
    const [bootstrap] = await all.fleet
      .application(agent.host)
      .workload.listIdentities()
      .then(({ identities }) => identities.filter(({ name }) => name === 'bootstrap'));
    const bootstrapKeyHash = bootstrap!.publicKeyHash!.slice('sha256:'.length);
    const registered = await running.administration.register(
      {
        name: 'web-1',
        address: agent.agent.listening!,
        bootstrapKeyHash,
        mode: 'manager-initiated',
        labels: { site: 'a' },
      },
      owner,
    );
    const bundle = await all.fleet.mint(all.authority.running, 'agent');
    const active = await running.administration.activate(registered.id, bundle, owner);
    return { ...agent, registered, active };
  }

  async function accepted() {
    const agent = await all.startAgent({
      enrolled: true,
      config: `mode: agent-initiated\nmanagers: ["${running.manager.listening!}"]\nreconnect: { least: 10ms, first: 20ms, most: 200ms }\n${operation}`,
    });
    await eventually(() => running.manager.fleet.size === 1);
    const [record] = running.manager.fleet.all();
    return { ...agent, id: record!.row.id };
  }

  it('activates an agent by its bootstrap key, then asks it for heartbeats and events', async () => {
    const { active, registered } = await dialled();
    expect(active).to.include({ state: 'active', name: 'web-1' });
    expect(active.spiffeId).to.equal(`spiffe://example.org/agent/${active.id}`);
    expect(active.id).not.to.equal(registered.id);
    await eventually(async () => {
      const now = await running.administration.showAgent(registered.id);
      return (
        now.connection === 'dialled' && now.lastHeartbeat !== undefined && now.eventsPulled > 0
      );
    });
    const { events } = await running.administration.events(active.id, { after: 0, limit: 100 });
    expect(events.map(({ kind }) => kind)).to.include('activated');
    const { beats } = await running.administration.history(active.id);
    expect(beats[0]).to.include({ outcome: 'ok' });
    const { entries } = await running.administration.audit({ after: 0, limit: 10 });
    expect(entries.map(({ action }) => action)).to.deep.equal([
      'agent_activated',
      'agent_activating',
      'agent_registered',
    ]);
  });

  it('lets agents that dial wait for an administrator', async () => {
    const { id } = await accepted();
    await eventually(
      async () => (await running.administration.showAgent(id)).connection === 'accepted',
    );
    expect((await running.administration.showAgent(id)).state).to.equal('pending');
    await delay(600);
    expect((await running.administration.showAgent(id)).lastHeartbeat).to.equal(undefined);
    await running.administration.activate(id, undefined, owner);
    await eventually(
      async () => (await running.administration.showAgent(id)).lastHeartbeat !== undefined,
    );
  });

  it('runs an operation once on every agent', async () => {
    const { active } = await dialled();
    await eventually(() => running.manager.status().connected === 1);
    const order = {
      operation: 'greet',
      arguments: { who: 'world' },
      selection: {},
      concurrency: 10,
      deadlineSeconds: 20,
    };
    const by = { actor: 'owner', idempotencyKey: 'key-of-the-test' };
    const begun = await running.administration.operate(order, by);
    await eventually(
      async () => (await running.administration.showJob(begun.id)).endedAt !== undefined,
    );
    const { targets } = await running.administration.jobTargets(begun.id, { limit: 10 });
    expect(targets).to.deep.equal([
      { agent: active.id, state: 'succeeded', exitCode: 0, output: 'hello world\n' },
    ]);
    expect((await running.administration.operate(order, by)).id).to.equal(begun.id);
  });

  it('brings a sealed configuration into force', async () => {
    const { active } = await dialled();
    await eventually(() => running.manager.status().connected === 1);
    const begun = await running.administration.configure(
      {
        selection: { labels: { site: 'a' } },
        content: { labels: { tier: 'web' }, secrets: { password: 'canary-of-the-test' } },
        lifetimeSeconds: 600,
      },
      owner,
    );
    await eventually(async () => {
      const { effective, desired } = await running.administration.showAgent(active.id);
      return effective.version === desired.version && effective.hash === desired.hash;
    });
    await eventually(
      async () => (await running.administration.showJob(begun.id)).counts.succeeded === 1,
    );
    const shown = await running.administration.effectiveConfiguration(active.id);
    expect(JSON.stringify(shown)).not.to.include('canary');
    expect(JSON.stringify(running.log)).not.to.include('canary');
  });

  it('remembers everything over a restart, and connects again', async () => {
    const { active } = await dialled();
    await eventually(() => running.manager.status().connected === 1);
    await running.manager.close();
    running = await all.startAgain(running);
    await eventually(async () => {
      const { connection, lastHeartbeat } = await running.administration.showAgent(active.id);
      return connection === 'dialled' && lastHeartbeat !== undefined;
    });
    expect((await running.administration.history(active.id)).beats.length).to.be.greaterThan(0);
  });

  it('cuts off who is quarantined or deactivated', async () => {
    const { id } = await accepted();
    await running.administration.activate(id, undefined, owner);
    await eventually(() => running.manager.status().connected === 1);
    await running.administration.change(id, 'quarantine', 'looks odd', owner);
    await eventually(() => running.manager.status().connected === 0);
    await delay(300);
    expect(running.manager.status().connected).to.equal(0);
    await running.administration.change(id, 'release', '', owner);
    await eventually(() => running.manager.status().connected === 1);
    await running.administration.change(id, 'deactivate', '', owner);
    await eventually(() => running.manager.status().connected === 0);
    expect((await running.administration.showAgent(id)).state).to.equal('deactivated');
  });

  it('marks an agent revoked whose certificate the authority revokes', async () => {
    const { id } = await accepted();
    await running.administration.activate(id, undefined, owner);
    await eventually(() => running.manager.status().connected === 1);
    await all.revoke(id);
    await eventually(async () => (await running.administration.showAgent(id)).state === 'revoked');
    expect(running.manager.status().connected).to.equal(0);
  });

  it('changes how an agent connects, there as well', async () => {
    const { active } = await dialled();
    await eventually(() => running.manager.status().connected === 1);
    await running.administration.changeMode(active.id, { mode: 'bidirectional' }, owner);
    await eventually(
      async () =>
        (await running.administration.showAgent(active.id)).lastHeartbeat?.mode === 'bidirectional',
    );
  });
});
