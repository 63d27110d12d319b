import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { HostPoint } from '../../src/identity/index.ts';
import { FakeAuthority, leafOf } from './support/fake-authority.ts';
import { eventually, FakeClock } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';
import { typescriptOptions } from '../support/typescript.ts';

const enrolmentPoints: readonly HostPoint[] = [
  'host.after_keys',
  'host.after_pending',
  'host.after_answer',
  'host.after_trust',
  'host.after_current',
  'host.after_copy',
  'host.after_cleared',
  'host.after_confirm',
  'host.after_confirmed',
];
const renewalPoints = enrolmentPoints.filter((point) => point !== 'host.after_trust');

describe('a host that is killed', () => {
  let directory: string;
  let clock: FakeClock;
  let authority: FakeAuthority;
  let hosts: Hosts;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-crash-'));
    clock = new FakeClock(Date.now());
    authority = new FakeAuthority(clock.now);
    hosts = new Hosts();
    await authority.listen(join(directory, 'socket'));
    writeFileSync(join(directory, 'bundle'), authority.makeBundle());
  });

  afterEach(async () => {
    await hosts.close();
    authority.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const agent = () => [...authority.agents.values()][0]!;

  /** Runs a host until it is done or dies; answers the signal. */
  async function run(point: string, bundle: boolean): Promise<string | null> {
    const ahead = String(clock.now().getTime() - Date.now());
    const host = spawn(
      process.execPath,
      [
        ...[...typescriptOptions, join(import.meta.dirname, 'support', 'crash-host.ts')],
        ...[hosts.directory(), join(directory, 'socket'), ahead, point],
        ...(bundle ? [join(directory, 'bundle')] : []),
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
    if (point === 'at the answer') {
      authority.lose = () => {
        host.kill('SIGKILL');
        return true;
      };
    }
    const [, signal] = (await once(host, 'exit')) as [number | null, string | null];
    authority.lose = () => false;
    return signal;
  }

  /** Starts the host again, and looks that it is the one the authority knows. */
  async function comesBack(options: { readonly bundle?: Uint8Array; generation: number }) {
    const identity = await hosts.open(authority, clock);
    identity.start();
    if (options.bundle !== undefined) await identity.enroll(options.bundle);
    await eventually(() => {
      clock.advance(100);
      const { renewAt } = identity.status;
      return renewAt !== undefined && renewAt > clock.now() && agent().confirmed;
    }, 'enrolled and confirmed');
    expect(authority.agents.size).to.equal(1);
    expect(agent().generation).to.equal(options.generation);
    expect(identity.status.spiffeId).to.equal(agent().spiffeId);
    expect(identity.status.state).to.equal('enrolled');
    const { chain, privateKey } = identity.current!;
    expect(leafOf(chain).serialNumber).to.equal(
      Buffer.from(agent().serial).toString('hex').toUpperCase(),
    );
    expect(leafOf(chain).checkPrivateKey(privateKey)).to.equal(true);
    await identity.close();
  }

  for (const point of [...enrolmentPoints, 'at the answer']) {
    it(`while it enrols, ${point}, comes back as the same agent`, async () => {
      expect(await run(point, true)).to.equal('SIGKILL');
      // Only before anything was on disk is the bundle needed again.
      const bundle = point === 'host.after_keys' ? authority.makeBundle() : undefined;
      await comesBack({ generation: 1, ...(bundle === undefined ? {} : { bundle }) });
    }).timeout(60_000);
  }

  for (const point of [...renewalPoints, 'at the answer']) {
    it(`while it renews, ${point}, comes back as the same agent`, async () => {
      const first = await hosts.open(authority, clock);
      await first.enroll(authority.makeBundle());
      first.start();
      await eventually(() => {
        clock.advance(0);
        return agent().confirmed && first.status.renewAt! > clock.now();
      });
      await first.close();
      clock.advance(20 * 3_600_000);
      expect(await run(point, false)).to.equal('SIGKILL');
      expect(agent().generation).to.equal(
        point === 'host.after_keys' || point === 'host.after_pending' ? 1 : 2,
      );
      await comesBack({ generation: 2 });
    }).timeout(60_000);
  }
});
