import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { EnrolledIdentity, RevokedCertificate } from '../../src/identity/index.ts';
import { FakeAuthority } from './support/fake-authority.ts';
import { eventually, FakeClock, settled } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';

const serial = (number: number) => Buffer.from([0x4a, 0, 0, 1, 9, 9, 9, number]);
const revoked = (number: number) => ({
  serial: serial(number),
  reason: 'keyCompromise',
  revokedAt: new Date(),
});
const banned = 'spiffe://example.test/agent/11111111-2222-4333-8444-555555555555';

describe('following the authority', () => {
  let clock: FakeClock;
  let authority: FakeAuthority;
  let hosts: Hosts;
  let identity: EnrolledIdentity;

  beforeEach(async () => {
    clock = new FakeClock();
    authority = new FakeAuthority(clock.now);
    hosts = new Hosts();
    identity = await hosts.open(authority, clock, {
      listeners: () => [
        {
          name: 'sidecar',
          address: 'unix:/run/s.sock',
          minVersion: 'TLSv1.2',
          maxVersion: 'TLSv1.2',
          source: 'default',
          cipherSuites: [],
          policyVersion: 0n,
          attempts: [],
        },
      ],
    });
    identity.start();
    await identity.enroll(authority.makeBundle());
    clock.advance(0);
    await streaming();
    await settled();
  });

  afterEach(async () => {
    await hosts.close();
    authority.close();
  });

  const streaming = () =>
    eventually(() => {
      if (authority.streams.size === 1) return true;
      clock.advance(1000);
      return false;
    }, 'streaming');
  const isRevoked = (number: number) => identity.revocations.isRevoked({ serial: serial(number) });
  const acknowledged = (sequence: number) =>
    eventually(
      () => authority.followRequests.at(-1)?.feedSequence === BigInt(sequence),
      `acknowledged ${String(sequence)}`,
    );
  const path = (name: string) => join(hosts.directory(), name);

  async function snapshot(): Promise<void> {
    authority.tell({ snapshotStart: true, revocations: [revoked(1)] });
    authority.tell({
      snapshotComplete: true,
      feedSequence: 5n,
      revocations: [{ spiffeId: banned, reason: 'cessationOfOperation' }],
    });
    await acknowledged(5);
  }

  it('tells where it is and what it does when it begins', () => {
    const [first] = authority.followRequests;
    expect(first).to.deep.include({ bundleSequence: 1n, feedSequence: 0n, epoch: '' });
    expect(first?.report?.version).to.equal('1.2.3');
    expect(first?.report?.hostTime).to.be.instanceOf(Date);
    expect(first?.report?.listeners[0]?.name).to.equal('sidecar');
  });

  it('takes a snapshot, then what is added to it', async () => {
    await snapshot();
    expect(identity.revocations.size).to.equal(2);
    expect(isRevoked(1)).to.equal(true);
    expect(identity.revocations.isRevoked({ serial: serial(77), spiffeId: banned })).to.equal(true);
    const added: (readonly RevokedCertificate[] | undefined)[] = [];
    identity.revocations.onAdded((each) => added.push(each));
    authority.tell({ feedSequence: 6n, revocations: [revoked(2)] });
    authority.tell({ feedSequence: 7n, revocations: [revoked(2), revoked(3)] });
    await acknowledged(7);
    expect(isRevoked(2) && isRevoked(3)).to.equal(true);
    expect(added.map((each) => each?.map((one) => 'serial' in one && one.serial[7]))).to.deep.equal(
      [[2], [3]],
    );
    expect(authority.followRequests.at(-1)).to.deep.include({ epoch: authority.epoch });
    expect(identity.status.feedSequence).to.equal(7);
  });

  it('forgets what a new snapshot does not have, but not what comes behind it', async () => {
    await snapshot();
    authority.tell({ snapshotStart: true, feedSequence: 0n });
    authority.tell({ snapshotComplete: true, feedSequence: 9n, revocations: [revoked(4)] });
    authority.tell({ feedSequence: 10n, revocations: [revoked(5)] });
    await acknowledged(10);
    expect(isRevoked(1)).to.equal(false);
    expect(isRevoked(4) && isRevoked(5)).to.equal(true);
  });

  it('refuses the revoked at once, be the disk as slow as it may', async () => {
    await snapshot();
    const told = new Promise<boolean>((resolve) => {
      identity.revocations.onAdded(() => {
        const acknowledgedAlready = authority.followRequests.at(-1)?.feedSequence === 6n;
        resolve(isRevoked(2) && !acknowledgedAlready);
      });
    });
    authority.tell({ feedSequence: 6n, revocations: [revoked(2)] });
    expect(await told).to.equal(true);
  });

  it('knows everything after a restart with the authority away', async () => {
    await snapshot();
    authority.tell({ feedSequence: 6n, revocations: [revoked(2)] });
    authority.tell({
      feedSequence: 6n,
      tlsPolicy: { version: 3n, minVersion: 'TLSv1.2', listeners: { sidecar: 'TLSv1.3' } },
      ticketKeysNotBefore: clock.now(),
    });
    await acknowledged(6);
    await eventually(() => identity.tlsPolicy?.version === 3);
    const heard = identity.status.trustReceivedAt;
    await identity.close();
    authority.unreachable = new Error('nobody there');
    clock.advance(1000);
    identity = await hosts.open(authority, clock);
    identity.start();
    expect(isRevoked(1) && isRevoked(2)).to.equal(true);
    expect(identity.status).to.deep.include({ feedSequence: 6, bundleSequence: 1 });
    expect(identity.status.trustReceivedAt).to.deep.equal(heard);
    expect(identity.tlsPolicy?.listeners.get('sidecar')).to.equal('TLSv1.3');
    expect(identity.ticketKeysNotBefore?.getTime()).to.equal(clock.now().getTime() - 1000);
    authority.unreachable = undefined;
    await streaming();
    await acknowledged(6);
    expect(authority.followRequests.at(-1)).to.deep.include({
      epoch: authority.epoch,
      tlsPolicyVersion: 3n,
    });
  });

  it('acknowledges a TLS policy that it has', async () => {
    authority.tell({ tlsPolicy: { version: 4n, minVersion: 'TLSv1.2', listeners: {} } });
    await eventually(() => authority.followRequests.at(-1)?.tlsPolicyVersion === 4n);
  });

  it('follows roots from old to new, and the authority as well', async () => {
    const [old] = authority.roots;
    const next = authority.makeRoot('Root 2');
    authority.roots = [old!, next];
    authority.sequence = 2;
    let changes = 0;
    identity.onChange(() => (changes += 1));
    authority.tell({ trustBundle: authority.trustBundle() });
    await eventually(() => authority.followRequests.at(-1)?.bundleSequence === 2n);
    expect(identity.trust?.roots).to.have.length(2);
    expect(changes).to.be.greaterThan(0);
    authority.signers = [old!, next];
    authority.roots = [next];
    authority.root = next;
    authority.issuing = authority.makeIssuing(next);
    authority.sequence = 3;
    authority.tell({ trustBundle: authority.trustBundle() });
    await eventually(() => authority.followRequests.at(-1)?.bundleSequence === 3n);
    expect(identity.trust?.anchors.certificates[0]?.fingerprint).to.deep.equal(
      next.certificate.fingerprint,
    );
    clock.advance(20 * 3_600_000);
    await eventually(() => identity.status.renewals === 1);
    await streaming();
    authority.tell({ serverTime: clock.now() });
    await eventually(() => identity.problem === undefined);
  });

  it('does not follow roots nobody vouches for, nor acknowledges them', async () => {
    const stranger = authority.makeRoot('Stranger');
    authority.roots = [stranger];
    authority.sequence = 2;
    authority.tell({ trustBundle: authority.trustBundle(), feedSequence: 0n });
    await eventually(() => identity.problem?.includes('signed by no root known here') === true);
    await settled();
    expect(identity.trust?.sequence).to.equal(1);
    expect(authority.followRequests.at(-1)?.bundleSequence).to.equal(1n);
    await snapshot();
    expect(isRevoked(1)).to.equal(true);
  });

  it('opens its stream again when it ends, and when it falls silent', async () => {
    for (const stream of authority.streams) stream.end();
    await eventually(() => authority.streams.size === 0);
    await streaming();
    const before = authority.calls.length;
    clock.advance(60_000);
    await eventually(() => authority.streams.size === 0);
    await streaming();
    expect(authority.calls.slice(before)).to.deep.equal(['followTrust']);
  });

  it('stays while there are signs of life', async () => {
    await snapshot();
    const before = authority.calls.length;
    for (let beat = 0; beat < 20; beat += 1) {
      clock.advance(15_000);
      authority.tell({ feedSequence: 5n, serverTime: clock.now() });
      await settled();
    }
    expect(authority.calls.length).to.equal(before);
    expect(identity.status.trustReceivedAt).to.deep.equal(clock.now());
    expect(identity.status.clockSkewMs).to.equal(0);
  });

  it('says so when nothing was heard for minutes', async () => {
    await snapshot();
    authority.unreachable = new Error('no route');
    for (const stream of authority.streams) stream.end();
    for (let minute = 0; minute < 10; minute += 1) {
      clock.advance(60_000);
      await settled();
    }
    expect(identity.problem).to.match(/nothing was heard of the authority since .*: no route/);
    expect(identity.current).to.not.equal(undefined);
  });

  it('says how wrong its clock is', async () => {
    authority.tell({ serverTime: new Date(clock.now().getTime() + 600_000) });
    await eventually(() => identity.problem?.includes('set one of them') === true);
    expect(identity.status.clockSkewMs).to.equal(600_000);
  });

  it('asks for a snapshot when the store was restored', async () => {
    await snapshot();
    authority.epoch = 'e0000002';
    authority.tell({ feedSequence: 2n, revocations: [revoked(6)] });
    await eventually(() => authority.streams.size === 0);
    expect(isRevoked(6)).to.equal(true);
    await streaming();
    await eventually(() => authority.followRequests.at(-1)?.epoch === '');
    await snapshot();
    expect(isRevoked(6)).to.equal(false);
  });

  const nonsense = [
    { what: 'names nobody', message: { feedSequence: 6n, revocations: [{ reason: 'x' }] } },
    {
      what: 'names two things',
      message: { feedSequence: 6n, revocations: [{ ...revoked(9), spiffeId: banned }] },
    },
    { what: 'goes back', message: { feedSequence: 3n, revocations: [revoked(9)] } },
  ];
  for (const { what, message } of nonsense) {
    it(`ends a stream that ${what}, and keeps what it has`, async () => {
      await snapshot();
      authority.tell(message);
      await eventually(() => authority.streams.size === 0);
      await streaming();
      await acknowledged(5);
      expect(isRevoked(1)).to.equal(true);
    });
  }

  it('reports again when something else is to be said, once a minute at most', async () => {
    await identity.close();
    let attempts = 0n;
    identity = await hosts.open(authority, clock, {
      listeners: () => [
        {
          name: 'sidecar',
          address: '',
          minVersion: '',
          maxVersion: '',
          source: '',
          cipherSuites: [],
          policyVersion: 0n,
          attempts: [{ peer: 'p', offered: 'TLSv1.0', count: attempts }],
        },
      ],
    });
    authority.followRequests.length = 0;
    identity.start();
    await streaming();
    await eventually(() => authority.followRequests.length === 1);
    const beat = async () => {
      clock.advance(15_000);
      authority.tell({ serverTime: clock.now() });
      await settled();
    };
    for (let beats = 0; beats < 5; beats += 1) await beat();
    expect(authority.followRequests).to.have.length(1);
    attempts = 1n;
    await beat();
    attempts = 2n;
    await beat();
    await eventually(() => authority.followRequests.length === 2);
    expect(authority.followRequests[1]?.report?.listeners[0]?.attempts[0]?.count).to.equal(1n);
  });

  const damages: readonly { readonly what: string; readonly damage: (file: string) => void }[] = [
    {
      what: 'lost its end',
      damage: (file) => {
        truncateSync(file, readFileSync(file).length - 3);
      },
    },
    {
      what: 'is empty',
      damage: (file) => {
        truncateSync(file, 0);
      },
    },
    {
      what: 'is of somebody else',
      damage: (file) => {
        writeFileSync(file, 'hello, this is not what you think');
      },
    },
  ];
  for (const { what, damage } of damages) {
    it(`asks for what is missing when the file of revocations ${what}`, async () => {
      await snapshot();
      authority.tell({ feedSequence: 6n, revocations: [revoked(2)] });
      await acknowledged(6);
      await identity.close();
      damage(path('revocations'));
      identity = await hosts.open(authority, clock);
      const { feedSequence } = identity.status;
      expect(feedSequence).to.equal(what === 'lost its end' ? 5 : 0);
      expect(isRevoked(1)).to.equal(feedSequence === 5);
      expect(isRevoked(2)).to.equal(false);
      identity.start();
      await streaming();
      authority.tell({
        snapshotStart: true,
        snapshotComplete: true,
        feedSequence: 6n,
        revocations: [revoked(1), revoked(2)],
      });
      await acknowledged(6);
      await identity.close();
      identity = await hosts.open(authority, clock);
      expect(isRevoked(1) && isRevoked(2)).to.equal(true);
    });
  }

  it('takes a hundred thousand revocations, and appends to them', async () => {
    const many = Array.from({ length: 100_000 }, (_, index) => {
      const bytes = Buffer.alloc(16, 0x4a);
      bytes.writeUInt32BE(index, 12);
      return {
        serial: bytes,
        reason: 'superseded',
        notAfter: new Date(clock.now().getTime() + 1e9),
      };
    });
    for (let from = 0; from < many.length; from += 5000) {
      authority.tell({
        snapshotStart: from === 0,
        snapshotComplete: from + 5000 >= many.length,
        feedSequence: from + 5000 >= many.length ? 100_000n : 0n,
        revocations: many.slice(from, from + 5000),
      });
    }
    await acknowledged(100_000);
    expect(identity.revocations.size).to.equal(100_000);
    authority.tell({ feedSequence: 100_001n, revocations: [revoked(1)] });
    await acknowledged(100_001);
    await identity.close();
    identity = await hosts.open(authority, clock);
    expect(identity.revocations.size).to.equal(100_001);
    clock.jump(2e9);
    expect(identity.revocations.prune()).to.equal(100_000);
  });
});
