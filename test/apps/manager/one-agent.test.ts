import { expect } from 'chai';
import { once } from 'node:events';
import { reverseProtocols } from '../../../src/apps/fleet/agent-api/connection.ts';
import type { Member } from '../authority/fleet.ts';
import { eventually, ManagedFleet, type RunningManager } from '../../support/managed-fleet.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };

describe('one id of an agent', function () {
  this.timeout(60_000);
  let all: ManagedFleet;
  let running: RunningManager;
  /** How far the manager's clock is ahead of everybody's. */
  let aheadMs: number;

  beforeEach(async () => {
    aheadMs = 0;
    all = new ManagedFleet();
    await all.start();
    running = await all.startManager('', () => new Date(Date.now() + aheadMs));
  });
  afterEach(() => all.close());

  const agentHost = () =>
    all.fleet.startHostOf('', 'identities: { host: { enrolled: true, default: true } }\n');
  const startAgent = (host: Member, reconnect: string) =>
    all.startAgent({
      enrolled: true,
      host,
      config: `mode: agent-initiated\nmanagers: ["${running.manager.listening!}"]\nreconnect: ${reconnect}`,
    });
  const atOnce = '{ least: 10ms, first: 20ms, most: 100ms }';
  const record = () => [...running.manager.fleet.all()][0]!;
  const keyOf = async (host: Member): Promise<string> => {
    const { identities } = await all.fleet.application(host).workload.listIdentities();
    return identities[0]!.publicKeyHash!.slice('sha256:'.length);
  };

  async function active(host: Member, reconnect: string) {
    const started = await startAgent(host, reconnect);
    await eventually(() => running.manager.status().connected === 1);
    await running.administration.activate(record().row.id, undefined, owner);
    await eventually(() => record().lastSeenAt !== undefined);
    return started;
  }

  it('refuses whoever is no agent before any HTTP', async () => {
    for (const role of ['service', 'manager', 'operator'] as const) {
      const host = await agentHost();
      await all.fleet.enroll(all.authority.running, host, role);
      const [address = '', port = ''] = running.manager.listening!.split(':');
      const socket = all.fleet.application(host).connect({
        host: address,
        port: Number(port),
        ALPNProtocols: reverseProtocols,
        targetIdentities: [running.manager.status().spiffeId!],
      });
      const received: unknown[] = [];
      socket.on('data', (chunk) => received.push(chunk));
      const [error] = (await once(socket, 'error')) as [{ readonly reason?: string }];
      expect(error.reason, role).to.equal('access_denied');
      expect(received).to.have.length(0);
    }
    expect(running.manager.fleet.size).to.equal(0);
  });

  it('is served by its newest connection, and the one before is closed', async () => {
    const host = await agentHost();
    await all.fleet.enroll(all.authority.running, host, 'agent');
    await active(host, '{ least: 50s, first: 55s, most: 60s }');
    const first = record().connection!;
    await startAgent(host, '{ least: 50s, first: 55s, most: 60s }');
    await eventually(() => first.ended !== undefined);
    expect(first.ended!.message).to.equal('there is a newer connection');
    const second = record().connection!;
    expect(second.ended).to.equal(undefined);
    expect([...running.manager.fleet.all()]).to.have.length(1);
    expect(running.manager.status().connected).to.equal(1);
    const { beats } = record();
    await eventually(() => record().beats > beats && record().missed === 0);
    expect(record().connection).to.equal(second);
  });

  it('that two keys are in use for is cut off with both, until somebody releases it', async () => {
    const host = await agentHost();
    await all.fleet.enroll(all.authority.running, host, 'agent');
    const copied = await all.fleet.startCopy(host);
    const original = await active(host, atOnce);
    const { id, key_hash: before } = record().row;
    expect(await keyOf(copied)).to.equal(before);
    await running.administration.change(id, 'rotate', '', owner);
    await eventually(async () => (await keyOf(host)) !== before);
    record().connection!.close('so that it comes back with its new key');
    await eventually(async () => record().row.key_hash === (await keyOf(host)));

    // Longer than a handshake that began before the renewal may take.
    aheadMs = 60_000;
    const clone = await startAgent(copied, atOnce);
    await eventually(() => record().row.state === 'quarantined');
    expect(record().row.reason).to.equal('two keys are in use for its id');
    await eventually(() => running.manager.status().connected === 0);
    const refusals = () =>
      running.log.filter(({ msg }) => msg.includes('the agent is quarantined here')).length;
    const already = refusals();
    // Both try again, and again.
    await eventually(() => refusals() > already + 6);
    expect(running.manager.status().connected).to.equal(0);

    await all.stopAgent(clone.agent);
    await running.administration.change(id, 'release', 'the copy is gone', owner);
    await eventually(() => running.manager.status().connected === 1);
    expect(record().row.state).to.equal('active');
    expect(record().row.key_hash).to.equal(await keyOf(host));
    await all.stopAgent(original.agent);
    const { entries } = await running.administration.audit({ after: 0, limit: 10 });
    expect(entries.map(({ action, actor }) => `${action} by ${actor}`)).to.include.members([
      'agent_quarantined by manager',
      'agent_released by owner',
    ]);
  });
});
