import { expect } from 'chai';
import { DirectoryInUseError, type EnrolledIdentity } from '../../src/identity/index.ts';
import type { CredentialSource } from '../../src/sidecar/credential-source.ts';
import { FakeAuthority, leafOf } from './support/fake-authority.ts';
import { eventually, FakeClock, rejection, turns } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';

describe('EnrolledIdentity', () => {
  let clock: FakeClock;
  let authority: FakeAuthority;
  let hosts: Hosts;

  beforeEach(() => {
    clock = new FakeClock();
    authority = new FakeAuthority(clock.now);
    hosts = new Hosts();
  });

  afterEach(async () => {
    await hosts.close();
    authority.close();
  });

  async function enrolled(): Promise<EnrolledIdentity> {
    const identity = await hosts.open(authority, clock);
    identity.start();
    await identity.enroll(authority.makeBundle());
    await eventually(() => authority.streams.size === 1, 'a stream');
    clock.advance(0);
    await eventually(() => authority.calls.includes('confirm'), 'confirm');
    return identity;
  }

  it('waits for a bundle', async () => {
    const identity = await hosts.open(authority, clock);
    identity.start();
    const source: CredentialSource = identity;
    expect(source.current).to.equal(undefined);
    expect(source.trust).to.equal(undefined);
    expect(source.status.state).to.equal('waiting for a bundle');
    expect(source.problem).to.match(/enrol with a bundle/);
  });

  it('enrols with a bundle', async () => {
    const identity = await enrolled();
    const [agent] = authority.agents.values();
    const { spiffeId = '' } = identity.status;
    expect(spiffeId).to.equal(agent?.spiffeId);
    expect(leafOf(identity.current!.chain).subjectAltName).to.equal(`URI:${spiffeId}`);
    expect(leafOf(identity.current!.chain).checkPrivateKey(identity.current!.privateKey)).to.equal(
      true,
    );
    const decryption = identity.decryption!;
    expect(leafOf(decryption.chain).checkPrivateKey(decryption.privateKey)).to.equal(true);
    expect(identity.trust?.sequence).to.equal(1);
    expect(identity.status.state).to.equal('enrolled');
    expect(identity.problem).to.equal(undefined);
    expect([...identity.properties]).to.deep.equal([['cluster', 'a']]);
    expect(agent?.confirmed).to.equal(true);
  });

  it('answers a bundle used before with what came of it', async () => {
    const identity = await hosts.open(authority, clock);
    const bundle = authority.makeBundle();
    const first = await identity.enroll(bundle);
    const second = await identity.enroll(bundle);
    expect(first.alreadyEnrolled).to.equal(false);
    expect(second).to.deep.equal({ ...first, alreadyEnrolled: true });
    expect(authority.enrollRequests).to.have.length(1);
  });

  it('refuses another bundle while it is enrolled', async () => {
    const identity = await enrolled();
    const error = await rejection(identity.enroll(authority.makeBundle()));
    expect(error.reason).to.equal('already_enrolled');
    expect(authority.enrollRequests).to.have.length(1);
  });

  it('takes another bundle once it is banned', async () => {
    const identity = await enrolled();
    const before = identity.status.spiffeId;
    authority.tell({ agentState: 'banned' });
    await eventually(() => identity.status.state === 'revoked');
    await eventually(() => identity.status.agentState === 'banned');
    expect(identity.current).to.equal(undefined);
    expect(identity.problem).to.match(/is banned/);
    await identity.enroll(authority.makeBundle());
    expect(identity.status.state).to.equal('enrolled');
    expect(identity.status.spiffeId).to.not.equal(before);
  });

  it('is the same after a restart, without anybody asked', async () => {
    const identity = await enrolled();
    const { current, status } = identity;
    await identity.close();
    authority.unreachable = new Error('nobody there');
    const again = await hosts.open(authority, clock);
    again.start();
    expect(again.current?.version).to.equal(current?.version);
    expect(again.status.spiffeId).to.equal(status.spiffeId);
    expect(again.trust?.sequence).to.equal(1);
    expect(leafOf(again.current!.chain).checkPrivateKey(again.current!.privateKey)).to.equal(true);
  });

  it('gets the same agent when the answer was lost', async () => {
    authority.lose = (method) => method === 'enroll' && authority.enrollRequests.length < 2;
    const identity = await hosts.open(authority, clock);
    const enrolling = identity.enroll(authority.makeBundle());
    await eventually(() => clock.pending > 0 && authority.enrollRequests.length === 1);
    expect(identity.status.state).to.equal('enrolling');
    clock.advance(5000);
    const { alreadyEnrolled } = await enrolling;
    expect(alreadyEnrolled).to.equal(false);
    expect(authority.agents.size).to.equal(1);
    const [first, second] = authority.enrollRequests;
    expect(second?.tlsRequest).to.deep.equal(first?.tlsRequest);
  });

  it('goes on by itself when the authority is away', async () => {
    authority.unreachable = new Error('nobody there');
    const identity = await hosts.open(authority, clock);
    identity.start();
    const enrolling = rejection(identity.enroll(authority.makeBundle()));
    let failed: Error | undefined;
    void enrolling.then((error) => (failed = error));
    await eventually(() => {
      clock.advance(500);
      return failed !== undefined;
    });
    expect(failed?.message).to.match(/trying goes on: nobody there/);
    expect(identity.problem).to.match(/nobody there/);
    authority.unreachable = undefined;
    await eventually(() => {
      clock.advance(1000);
      return identity.current !== undefined;
    });
    expect(identity.status.state).to.equal('enrolled');
  });

  it('goes on after a restart in the middle, with the same keys and no bundle', async () => {
    authority.lose = (method) => method === 'enroll';
    const identity = await hosts.open(authority, clock);
    const enrolling = rejection(identity.enroll(authority.makeBundle()));
    await eventually(() => authority.enrollRequests.length === 1 && clock.pending > 0);
    await identity.close();
    expect((await enrolling).reason).to.equal('closed');
    authority.lose = () => false;
    const again = await hosts.open(authority, clock);
    again.start();
    expect(again.status.state).to.equal('enrolling');
    await eventually(() => {
      clock.advance(100);
      return again.current !== undefined;
    });
    expect(authority.agents.size).to.equal(1);
    const [first, second] = authority.enrollRequests;
    expect(second?.tlsRequest).to.deep.equal(first?.tlsRequest);
  });

  it('says what to do when the authority refuses, and asks no more', async () => {
    authority.refuse = (method) =>
      method === 'enroll' ? { code: 7, reason: 'refused' } : undefined;
    const identity = await hosts.open(authority, clock);
    identity.start();
    const error = await rejection(identity.enroll(authority.makeBundle()));
    expect(error).to.include({ status: 'PERMISSION_DENIED', reason: 'refused' });
    expect(error.message).to.match(/get a new bundle/);
    clock.advance(3_600_000);
    await turns(20);
    expect(authority.calls.filter((call) => call === 'enroll')).to.have.length(1);
    expect(identity.status.state).to.equal('waiting for a bundle');
    authority.refuse = () => undefined;
    await identity.enroll(authority.makeBundle());
    expect(identity.status.state).to.equal('enrolled');
  });

  it('waits as long as the authority asks', async () => {
    let refusals = 0;
    authority.refuse = () => {
      refusals += 1;
      return refusals === 1 ? { code: 8, reason: 'busy', retryAfterMs: 4000 } : undefined;
    };
    const identity = await hosts.open(authority, clock);
    const enrolling = identity.enroll(authority.makeBundle());
    await eventually(() => refusals === 1 && clock.pending > 0);
    clock.advance(3999);
    await turns(20);
    expect(refusals).to.equal(1);
    clock.advance(1001);
    await enrolling;
  });

  it('refuses a bundle that has ended, and says both clocks', async () => {
    const identity = await hosts.open(authority, clock);
    const bundle = authority.makeBundle({ notAfter: new Date(clock.now().getTime() - 1000) });
    const error = await rejection(identity.enroll(bundle));
    expect(error.reason).to.equal('bundle_expired');
    expect(error.message).to.match(/ended at 2026-05-31T23:59:59.000Z.*2026-06-01T00:00:00.000Z/);
    expect(authority.calls).to.deep.equal([]);
  });

  it('says that the clock is behind when the certificate is not valid yet', async () => {
    const ahead = new FakeAuthority(() => new Date(clock.now().getTime() + 3_600_000));
    const identity = await hosts.open(ahead, clock);
    const enrolling = rejection(identity.enroll(ahead.makeBundle()));
    let failed: Error | undefined;
    void enrolling.then((error) => (failed = error));
    await eventually(() => {
      clock.advance(500);
      return failed !== undefined;
    });
    expect(failed?.message).to.match(/the clock of this host, 2026-.*, is behind/);
    expect(identity.status.clockSkewMs).to.be.closeTo(3_600_000, 15_000);
    clock.advance(3_600_000);
    await eventually(() => identity.current !== undefined);
    ahead.close();
  });

  it('keeps others out of its directory', async () => {
    const identity = await enrolled();
    const error = await rejection(hosts.open(authority, clock));
    expect(error).to.be.instanceOf(DirectoryInUseError);
    await identity.close();
    await hosts.open(authority, clock);
  });

  for (const [tlsKeyType, decryptionKeyType] of [
    ['ecdsa-p384', 'none'],
    ['ed25519', 'ecdsa-p256'],
    ['rsa', 'rsa'],
  ] as const) {
    it(`makes keys of kinds ${tlsKeyType} and ${decryptionKeyType}`, async () => {
      const identity = await hosts.open(authority, clock, { tlsKeyType, decryptionKeyType });
      identity.start();
      await identity.enroll(authority.makeBundle());
      const kind = identity.current?.privateKey.asymmetricKeyType;
      expect(kind).to.equal(tlsKeyType.startsWith('ecdsa') ? 'ec' : tlsKeyType);
      expect(identity.decryption === undefined).to.equal(decryptionKeyType === 'none');
      clock.advance(0);
      await eventually(() => [...authority.agents.values()].some(({ confirmed }) => confirmed));
    });
  }
});
