import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { EnrolledIdentity } from '../../src/identity/index.ts';
import { FakeAuthority, leafOf } from './support/fake-authority.ts';
import { eventually, FakeClock, settled } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';

const hour = 3_600_000;

describe('renewal', () => {
  let clock: FakeClock;
  let authority: FakeAuthority;
  let hosts: Hosts;
  let identity: EnrolledIdentity;

  beforeEach(async () => {
    clock = new FakeClock();
    authority = new FakeAuthority(clock.now);
    hosts = new Hosts();
    identity = await hosts.open(authority, clock);
    identity.start();
    await identity.enroll(authority.makeBundle());
    clock.advance(0);
    await eventually(() => authority.streams.size === 1);
    await settled();
  });

  afterEach(async () => {
    await hosts.close();
    authority.close();
  });

  const [agent] = [() => [...authority.agents.values()][0]!];
  const confirmed = () => eventually(() => agent().confirmed, 'confirmed');

  /** Lets time pass, with whatever is due in it done, until something holds. */
  async function passing(step: number, holds: () => boolean): Promise<void> {
    for (let steps = 0; steps < 5000; steps += 1) {
      await settled();
      if (holds()) return;
      clock.advance(step);
    }
    throw new Error(`never came true: ${holds.toString()}`);
  }

  it('renews at a random point in 55 to 80 % of the life, with new keys', async () => {
    const before = identity.current!;
    const { renewAt } = identity.status;
    const elapsed = renewAt!.getTime() - clock.now().getTime();
    expect(elapsed).to.be.within(0.55 * 24 * hour - 1, 0.8 * 24 * hour + 1);
    clock.advance(elapsed - 61_000);
    await settled();
    expect(authority.renewRequests).to.have.length(0);
    clock.advance(61_001);
    await eventually(() => identity.current?.version !== before.version);
    await confirmed();
    expect(identity.status.renewals).to.equal(1);
    expect(identity.current!.privateKey.equals(before.privateKey)).to.equal(false);
    expect(leafOf(identity.current!.chain).checkPrivateKey(identity.current!.privateKey)).to.equal(
      true,
    );
    expect(agent().generation).to.equal(2);
  });

  it('keeps the key for decryption of before for minutes, in memory, and no longer', async () => {
    const before = identity.decryption!;
    expect(identity.retiredDecryption).to.equal(undefined);
    await identity.renew();
    expect(identity.decryption!.privateKey.equals(before.privateKey)).to.equal(false);
    expect(identity.retiredDecryption?.privateKey.equals(before.privateKey)).to.equal(true);
    expect(identity.retiredDecryption?.chain).to.deep.equal(before.chain);
    const second = identity.decryption!;
    clock.advance(4 * 60_000);
    await identity.renew();
    expect(identity.retiredDecryption?.privateKey.equals(second.privateKey)).to.equal(true);
    clock.advance(5 * 60_000 - 1);
    expect(identity.retiredDecryption).to.not.equal(undefined);
    clock.advance(1);
    expect(identity.retiredDecryption).to.equal(undefined);
    await identity.renew();
    expect(identity.retiredDecryption).to.not.equal(undefined);
    await identity.forget();
    expect(identity.retiredDecryption).to.equal(undefined);
  });

  it('has no key of before when the machine slept, nor once it starts again', async () => {
    await identity.renew();
    clock.jump(5 * 60_000);
    expect(identity.retiredDecryption).to.equal(undefined);
    await identity.renew();
    expect(identity.retiredDecryption).to.not.equal(undefined);
    await identity.close();
    expect((await hosts.open(authority, clock)).retiredDecryption).to.equal(undefined);
  });

  it('opens its stream anew with the new certificate', async () => {
    clock.advance(20 * hour);
    await eventually(() => identity.status.renewals === 1);
    await eventually(() => {
      const last = authority.dials.at(-1)!;
      return leafOf(last.credential.chain).raw.equals(leafOf(identity.current!.chain).raw);
    });
    await eventually(() => authority.streams.size === 1);
  });

  it('goes on through many lifetimes', async () => {
    for (let life = 1; life <= 20; life += 1) {
      await passing(hour / 2, () => identity.status.renewals === life && agent().confirmed);
      expect(identity.status.state).to.equal('enrolled');
    }
    expect(authority.agents.size).to.equal(1);
    expect(agent().generation).to.equal(21);
  });

  it('gets the same certificate when the answer was lost', async () => {
    authority.lose = (method) => method === 'renew' && authority.renewRequests.length < 3;
    await passing(hour / 4, () => identity.status.renewals === 1);
    expect(authority.renewRequests.length).to.equal(3);
    const keys = new Set(
      authority.renewRequests.map(({ tlsRequest }) => tlsRequest.toString('hex')),
    );
    expect(keys.size).to.equal(1);
    expect(agent().generation).to.equal(2);
  });

  it('keeps the valid certificate whatever fails, and asks more often when time runs out', async () => {
    const before = identity.current!;
    authority.refuse = (method) =>
      method === 'renew' ? { code: 14, reason: 'store_away' } : undefined;
    const renewals = () => authority.calls.filter((call) => call === 'renew').length;
    await passing(60_000, () => clock.now().getTime() >= hardMoment(identity) - 60_000);
    const soft = renewals();
    expect(soft).to.be.greaterThan(3);
    expect(identity.problem).to.not.match(/renewed/);
    for (let step = 0; step < 60; step += 1) {
      clock.advance(10_000);
      await settled();
    }
    expect(renewals() - soft).to.be.greaterThan(15);
    expect(identity.current?.version).to.equal(before.version);
    expect(identity.status.state).to.equal('enrolled');
    expect(identity.problem).to.match(/cannot be renewed: store_away/);
    authority.refuse = () => undefined;
    await passing(10_000, () => identity.status.renewals === 1);
    expect(identity.problem).to.not.match(/renewed/);
  });

  it('asks again after the time the authority names', async () => {
    let refusals = 0;
    authority.refuse = (method) => {
      if (method !== 'renew') return undefined;
      refusals += 1;
      return refusals === 1 ? { code: 8, reason: 'busy', retryAfterMs: 900_000 } : undefined;
    };
    await passing(60_000, () => identity.status.failedRenewals === 1);
    const wait = identity.status.renewAt!.getTime() - clock.now().getTime();
    expect(wait).to.be.within(840_000, 1_125_000);
  });

  it('tries on after the certificate has expired', async () => {
    authority.unreachable = new Error('no route');
    for (const stream of authority.streams) stream.end();
    clock.advance(0);
    await passing(600_000, () => identity.status.state === 'expired');
    clock.advance(48 * hour);
    await settled();
    expect(identity.problem).to.match(/expired at .*no route/);
    authority.unreachable = undefined;
    await passing(60_000, () => identity.status.state === 'enrolled');
    expect(authority.agents.size).to.equal(1);
  });

  it('comes back when the answer was lost and the machine slept past the end of what was in it', async () => {
    authority.lose = (method) => method === 'renew';
    await passing(hour / 4, () => authority.renewRequests.length > 0);
    authority.unreachable = new Error('asleep');
    await settled();
    clock.jump(72 * hour);
    authority.lose = () => false;
    authority.unreachable = undefined;
    await passing(60_000, () => identity.status.renewals === 2 && agent().confirmed);
    expect(identity.status.state).to.equal('enrolled');
    expect(agent().generation).to.equal(3);
  });

  it('notices that the machine slept', async () => {
    clock.jump(48 * hour);
    expect(identity.status.state).to.equal('expired');
    clock.advance(60_000);
    await eventually(() => identity.status.renewals === 1);
  });

  it('renews at once when the authority orders it', async () => {
    const at = new Date(clock.now().getTime() + 90_000);
    authority.tell({ renewAt: at });
    await eventually(() => identity.status.renewAt?.getTime() === at.getTime());
    clock.advance(89_000);
    await settled();
    expect(authority.renewRequests).to.have.length(0);
    clock.advance(1000);
    await eventually(() => identity.status.renewals === 1);
    await confirmed();
    await settled();
    expect(identity.status.renewAt!.getTime()).to.be.greaterThan(at.getTime() + 13 * hour);
  });

  it('says that it is suspended, and goes on when it is resumed', async () => {
    authority.refuse = (method) =>
      method === 'renew' ? { code: 7, reason: 'refused' } : undefined;
    authority.tell({ agentState: 'suspended' });
    await eventually(() => identity.problem?.includes('is suspended: it cannot renew') === true);
    await passing(hour / 4, () => identity.status.failedRenewals > 0);
    expect(identity.current).to.not.equal(undefined);
    for (const stream of authority.streams) stream.end();
    await passing(1000, () => authority.streams.size > 0);
    authority.refuse = () => undefined;
    authority.tell({ agentState: 'active' });
    await settled();
    expect(identity.status.renewals).to.equal(0);
    clock.advance(0);
    await settled();
    expect(identity.status.renewals).to.equal(1);
    expect(identity.problem).to.equal(undefined);
  });

  it('confirms until the authority has heard it', async () => {
    let lost = 0;
    authority.refuse = (method) => {
      if (method !== 'confirm' || lost === 3) return undefined;
      lost += 1;
      return { code: 14, reason: 'away' };
    };
    clock.advance(20 * hour);
    await eventually(() => identity.status.renewals === 1);
    await passing(1000, () => agent().confirmed);
    expect(lost).to.equal(3);
    expect(identity.status.renewals).to.equal(1);
  });

  it('asks for nothing while its disk cannot be written, and recovers', async () => {
    const directory = hosts.directory();
    const before = identity.current!;
    renameSync(directory, `${directory}-gone`);
    writeFileSync(directory, '');
    await passing(hour / 4, () => identity.status.failedRenewals > 1);
    expect(authority.renewRequests).to.have.length(0);
    expect(identity.current?.version).to.equal(before.version);
    renameSync(directory, `${directory}-other`);
    renameSync(`${directory}-gone`, directory);
    chmodSync(directory, 0o700);
    await passing(60_000, () => identity.status.renewals === 1);
  });

  const lies: readonly {
    readonly what: string;
    readonly twist: FakeAuthority['twist'];
    readonly problem: RegExp;
  }[] = [
    {
      what: 'no certificates',
      twist: (_issued, response) => {
        response.issued = undefined;
      },
      problem: /answer is empty/,
    },
    {
      what: 'a certificate of another key',
      twist: (issued) => {
        issued.tlsChain = [...issued.decryptionChain];
      },
      problem: /does not hold|not of our key/,
    },
    {
      what: 'another agent',
      twist: (issued) => {
        issued.agentId = Buffer.alloc(16, 7);
        issued.spiffeId = 'spiffe://example.test/agent/07070707-0707-0707-0707-070707070707';
      },
      problem: /not of spiffe:/,
    },
    {
      what: 'no next token',
      twist: (issued) => {
        issued.renewalToken = '';
      },
      problem: /no token for the next renewal/,
    },
    {
      what: 'a chain to a root nobody knows',
      twist: (issued) => {
        issued.tlsChain = issued.tlsChain.slice(0, 1);
      },
      problem: /does not hold/,
    },
  ];
  for (const { what, twist, problem } of lies) {
    it(`keeps what it has when the answer has ${what}`, async () => {
      const before = identity.current!;
      authority.twist = twist;
      // The intermediate of the bundle would make up for one missing in the chain.
      if (what.startsWith('a chain'))
        authority.issuing = authority.makeIssuing(authority.makeRoot('x'));
      await passing(hour / 4, () => identity.status.failedRenewals === 1);
      expect(identity.problem).to.match(problem);
      expect(identity.current?.version).to.equal(before.version);
    });
  }
});

function hardMoment(identity: EnrolledIdentity): number {
  const leaf = leafOf(identity.current!.chain);
  const end = new Date(leaf.validTo).getTime();
  return end - 2.4 * hour;
}
