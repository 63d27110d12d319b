import { expect } from 'chai';
import { pino } from 'pino';
import type { FollowTrustResponse } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import { serializeFollowTrustResponse } from '../../../src/ca/trust/encode-once.ts';
import { FollowMessages } from '../../../src/ca/trust/follow-messages.ts';
import { Follower, type FollowerStart } from '../../../src/ca/trust/follower.ts';
import { SnapshotSlots } from '../../../src/ca/trust/snapshot-slots.ts';
import { TrustFeed } from '../../../src/ca/trust/trust-feed.ts';
import { revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import { nextAgentState } from '../../../src/ca/agents/transitions.ts';
import type { EnrolmentRows } from '../support/rows.ts';
import { type OwnedPlace, sqlitePlace } from '../support/stores.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';

/** A host that takes a message only when told to. */
class SlowHost {
  readonly taken: FollowTrustResponse[] = [];
  #offered: { readonly message: FollowTrustResponse; readonly sent: () => void } | undefined;
  wasCut = false;
  ended: string | undefined;

  readonly sink = {
    send: (message: FollowTrustResponse, sent: () => void): void => {
      if (this.#offered !== undefined) throw new Error('two messages under way');
      this.#offered = { message, sent };
    },
    end: (error: { readonly reason: string }): void => {
      this.ended = error.reason;
    },
    cut: (): void => {
      this.wasCut = true;
    },
  };

  get isOffered(): boolean {
    return this.#offered !== undefined;
  }

  take(): boolean {
    const offered = this.#offered;
    if (offered === undefined) return false;
    this.#offered = undefined;
    this.taken.push(offered.message);
    offered.sent();
    return true;
  }

  /** Takes all there is, also what comes a microtask later. */
  async takeAll(): Promise<void> {
    do {
      while (this.take());
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.isOffered);
  }
}

describe('Follower', () => {
  let place: OwnedPlace;
  let authority: TrustAuthority;
  let feed: TrustFeed;
  let messages: FollowMessages;
  let snapshots: SnapshotSlots;

  before(async () => {
    place = sqlitePlace();
    authority = await openTrustAuthority(place);
  });
  after(async () => {
    await authority.close();
    await place.close();
  });
  beforeEach(async () => {
    const { store, now, epoch } = authority.context;
    feed = new TrustFeed({ store, now, log: pino({ level: 'silent' }), maxItems: 600 });
    await feed.start();
    messages = new FollowMessages({ feed, epoch, now });
    snapshots = new SnapshotSlots(1);
  });
  afterEach(() => {
    feed.close();
  });

  const revoke = async (hosts: readonly EnrolmentRows[]): Promise<void> => {
    await Promise.all(
      hosts.map(({ certificate }) =>
        authority.context.writer.submit(revokeOperation, {
          subject: { kind: 'certificate', serial: certificate.serial },
          order: { reason: 'superseded', by: 'owner' },
        }),
      ),
    );
    await feed.advance();
  };

  function follow(start: Partial<FollowerStart> = {}): { host: SlowHost; follower: Follower } {
    const host = new SlowHost();
    const follower = new Follower({
      host: {
        agent: new Uint8Array(16),
        spiffeId: 'spiffe://example.org/agent/1',
        serial: new Uint8Array(16),
        issuer: new Uint8Array(16),
        notAfter: Number.MAX_SAFE_INTEGER,
      },
      state: 'active',
      start: { isNew: false, feed: feed.head, bundle: 1, tlsPolicy: 0n, ...start },
      sources: {
        feed,
        messages,
        snapshots,
        orders: {
          renewAt: () => undefined,
          ticketKeysNotBefore: () => undefined,
          onChange: () => () => undefined,
        },
        now: authority.context.now,
      },
      sink: host.sink,
    });
    follower.wake();
    return { host, follower };
  }

  it('has one message under way, and sends what came meanwhile together', async () => {
    const { host, follower } = follow();
    const { hosts } = await authority.enrol(40);
    for (const one of hosts) await revoke([one]);
    follower.wake();
    expect(host.take()).to.equal(true);
    await host.takeAll();
    const told = host.taken.flatMap(({ revocations }) => revocations);
    expect(told).to.have.length(40);
    expect(follower.position).to.equal(feed.head);
  });

  it('shares the bytes of a message with all who get it', async () => {
    const followers = [follow(), follow(), follow()];
    for (const { host } of followers) await host.takeAll();
    const { hosts } = await authority.enrol(1);
    await revoke(hosts);
    for (const { follower, host } of followers) {
      follower.wake();
      await host.takeAll();
    }
    const last = followers.map(({ host }) => host.taken.at(-1)!);
    expect(last[1]).to.equal(last[0]);
    expect(serializeFollowTrustResponse(last[1]!)).to.equal(serializeFollowTrustResponse(last[2]!));
  });

  it('gives a snapshot to a host that fell out of what is kept', async () => {
    const { host, follower } = follow();
    await host.takeAll();
    const { hosts } = await authority.enrol(700);
    await revoke(hosts);
    await revoke((await authority.enrol(100)).hosts);
    expect(follower.position).to.be.lessThan(feed.oldest);
    follower.wake();
    await host.takeAll();
    expect(host.taken.filter(({ snapshotStart }) => snapshotStart)).to.have.length(1);
    expect(host.taken.filter(({ snapshotComplete }) => snapshotComplete)).to.have.length(1);
    const told = host.taken.flatMap(({ revocations }) => revocations).length;
    expect(told).to.be.greaterThan(800);
    const largest = Math.max(
      ...host.taken.map((each) => serializeFollowTrustResponse(each).length),
    );
    expect(largest).to.be.lessThan(64 * 1024);
    expect(follower.position).to.equal(feed.head);
  });

  it('gives snapshots by turns', async () => {
    const first = follow({ isNew: true });
    const second = follow({ isNew: true });
    // State, bundle, and the first piece.
    for (let message = 0; message < 3; message += 1) {
      first.host.take();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await second.host.takeAll();
    expect(second.host.taken.some(({ snapshotStart }) => snapshotStart)).to.equal(false);
    expect(snapshots.waiting).to.equal(1);
    first.follower.closed();
    await new Promise((resolve) => setImmediate(resolve));
    await second.host.takeAll();
    expect(second.host.taken.some(({ snapshotComplete }) => snapshotComplete)).to.equal(true);
    const third = follow({ isNew: true });
    await third.host.takeAll();
    expect(third.host.taken.some(({ snapshotComplete }) => snapshotComplete)).to.equal(true);
  });

  it('cuts a host that does not take a message', () => {
    const { host, follower } = follow();
    authority.clock.ms += 29_000;
    follower.beat(30_000);
    expect(host.wasCut).to.equal(false);
    authority.clock.ms += 2000;
    follower.beat(30_000);
    expect(host.wasCut).to.equal(true);
    host.take();
    expect(host.isOffered).to.equal(false);
  });

  it('gives a sign of life only to hosts that have everything', async () => {
    const { host, follower } = follow();
    await host.takeAll();
    const before = host.taken.length;
    follower.beat(30_000);
    await host.takeAll();
    expect(host.taken.slice(before)).to.have.length(1);
    expect(Number(host.taken.at(-1)?.feedSequence)).to.equal(feed.head);
  });

  it('ends behind what it has to say', async () => {
    const { host, follower } = follow();
    await host.takeAll();
    follower.changeState('quarantined');
    expect(host.ended).to.equal(undefined);
    await host.takeAll();
    expect(host.taken.at(-1)?.agentState).to.equal('quarantined');
    expect(host.ended).to.equal('agent_quarantined');
  });
});

describe('nextAgentState', () => {
  const states = ['enrolled', 'active', 'suspended', 'quarantined', 'banned', 'retired'] as const;
  const table = {
    activate: ['active', 'active', undefined, undefined, undefined, undefined],
    suspend: ['suspended', 'suspended', 'suspended', undefined, undefined, undefined],
    resume: [undefined, 'active', 'active', undefined, undefined, undefined],
    quarantine: ['quarantined', 'quarantined', 'quarantined', 'quarantined', undefined, undefined],
    release: [undefined, 'active', undefined, 'active', undefined, undefined],
    retire: ['retired', 'retired', 'retired', 'retired', undefined, 'retired'],
  } as const;
  for (const action of [
    'activate',
    'suspend',
    'resume',
    'quarantine',
    'release',
    'retire',
  ] as const) {
    it(`knows where ${action} leads from each state`, () => {
      expect(states.map((state) => nextAgentState(state, action, true))).to.deep.equal(
        table[action],
      );
    });
  }

  it('leads back to where an agent was that nobody activated', () => {
    expect(nextAgentState('suspended', 'resume', false)).to.equal('enrolled');
    expect(nextAgentState('quarantined', 'release', false)).to.equal('enrolled');
  });
});
