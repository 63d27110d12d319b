import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { RunningAuthority } from '../../src/apps/authority/run-authority.ts';
import { createAuthorityDialler } from '../../src/apps/in-process-tls/dial-authority.ts';
import { checkInvariants } from '../../src/ca/check/check.ts';
import type { Row } from '../../src/ca/store/schema.ts';
import type { EnrolledIdentity, HostPoint } from '../../src/identity/index.ts';
import { Fleet } from '../apps/authority/fleet.ts';
import { leafOf } from './support/fake-authority.ts';
import { eventually } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';
import { typescriptOptions } from '../support/typescript.ts';

const hour = 3_600_000;
const points: readonly HostPoint[] = [
  'host.after_keys',
  'host.after_pending',
  'host.after_answer',
  'host.after_current',
  'host.after_copy',
  'host.after_cleared',
  'host.after_confirm',
  'host.after_confirmed',
];

describe('a host and a real authority', function () {
  this.timeout(60_000);
  let fleet: Fleet;
  let authority: RunningAuthority;
  let hosts: Hosts;
  let directory: string;

  before(async () => {
    fleet = new Fleet();
    ({ running: authority } = await fleet.startAuthority());
  });

  after(async () => {
    const { store, now } = authority.authority.context;
    const violations = await store.snapshot((queries) => checkInvariants(queries, { now: now() }));
    await fleet.close();
    expect(violations).to.deep.equal([]);
  });

  beforeEach(() => {
    hosts = new Hosts();
    directory = mkdtempSync(join(tmpdir(), 'sidekey-real-'));
  });

  afterEach(async () => {
    await hosts.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const dial = createAuthorityDialler({ now: () => new Date() });
  /** A host whose clock is ahead, so that a renewal is due. */
  const open = (aheadMs = 0, reached?: (point: HostPoint) => void) =>
    hosts.openWith({
      dial,
      now: () => new Date(Date.now() + aheadMs),
      ...(reached === undefined ? {} : { reached }),
    });

  async function agents(): Promise<readonly Row<'agent'>[]> {
    return await authority.authority.context.store.queries
      .selectFrom('agent')
      .selectAll()
      .orderBy('enrolled_at')
      .execute();
  }

  async function agentOf(identity: EnrolledIdentity): Promise<Row<'agent'>> {
    const all = await agents();
    const found = all.find(({ spiffe_id: id }) => id === identity.status.spiffeId);
    if (found === undefined) throw new Error('the authority does not know this host');
    return found;
  }

  /** Confirmed, as far as the host knows. */
  const settledDown = (identity: EnrolledIdentity, aheadMs = 0) =>
    eventually(() => {
      const { renewAt, state } = identity.status;
      return state === 'enrolled' && renewAt !== undefined && +renewAt > Date.now() + aheadMs;
    }, 'confirmed');

  async function enrolled(): Promise<EnrolledIdentity> {
    const identity = await open();
    identity.start();
    await identity.enroll(await fleet.mint(authority, 'agent'));
    await settledDown(identity);
    return identity;
  }

  it('enrols, confirms, follows', async () => {
    const identity = await enrolled();
    await eventually(() => identity.status.trustReceivedAt !== undefined, 'heard');
    const agent = await agentOf(identity);
    expect(agent.role).to.equal('agent');
    expect(agent.generation).to.equal(1);
    expect(agent.pending_serial).to.equal(null);
    expect(identity.problem).to.equal(undefined);
    expect(identity.trust?.sequence).to.be.greaterThan(0);
    expect(identity.decryption).to.not.equal(undefined);
  });

  it('renews with new keys over the stream it has, and supersedes the old certificate', async () => {
    await (await enrolled()).close();
    const identity = await open(20 * hour);
    const before = identity.current!;
    identity.start();
    await eventually(() => identity.status.renewals === 1, 'renewed');
    await settledDown(identity, 20 * hour);
    const agent = await agentOf(identity);
    expect(agent.generation).to.equal(2);
    expect(agent.pending_serial).to.equal(null);
    expect(identity.current?.privateKey.equals(before.privateKey)).to.equal(false);
    const serial = Buffer.from(leafOf(before.chain).serialNumber, 'hex');
    const row = await authority.authority.context.store.queries
      .selectFrom('certificate')
      .select('state')
      .where('serial', '=', serial)
      .executeTakeFirst();
    expect(row?.state).to.equal('superseded');
  });

  it('gets the same certificate when an answer is lost, and is no clone for it', async () => {
    await (await enrolled()).close();
    let lost = 0;
    const identity = await open(20 * hour, (point) => {
      if (point !== 'host.after_answer' || lost === 1) return;
      lost += 1;
      throw new Error('lost on the way');
    });
    identity.start();
    await eventually(() => identity.status.renewals === 1, 'renewed');
    await settledDown(identity, 20 * hour);
    expect(lost).to.equal(1);
    expect((await agentOf(identity)).generation).to.equal(2);
    expect((await agentOf(identity)).state).to.equal('active');
  });

  async function run(point: HostPoint, aheadMs: number, bundle?: Uint8Array): Promise<void> {
    const file = join(directory, 'bundle');
    if (bundle !== undefined) writeFileSync(file, bundle);
    const host = spawn(
      process.execPath,
      [
        ...[...typescriptOptions, join(import.meta.dirname, 'support', 'crash-host.ts')],
        ...[hosts.directory(), 'tls', String(aheadMs), point],
        ...(bundle === undefined ? [] : [file]),
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
    const [, signal] = (await once(host, 'exit')) as [number | null, string | null];
    expect(signal).to.equal('SIGKILL');
  }

  for (const point of points.slice(1)) {
    it(`survives kill -9 while it enrols, ${point}`, async () => {
      const before = (await agents()).length;
      await run(point, 0, await fleet.mint(authority, 'agent'));
      const identity = await open();
      identity.start();
      await settledDown(identity);
      expect(await agents()).to.have.length(before + 1);
      expect((await agentOf(identity)).generation).to.equal(1);
    });
  }

  for (const point of points) {
    it(`survives kill -9 while it renews, ${point}`, async () => {
      await (await enrolled()).close();
      const before = (await agents()).length;
      await run(point, 20 * hour);
      const identity = await open(20 * hour);
      identity.start();
      await settledDown(identity, 20 * hour);
      expect(await agents()).to.have.length(before);
      const agent = await agentOf(identity);
      expect(agent.generation).to.equal(2);
      expect(agent.state).to.equal('active');
    });
  }
});
