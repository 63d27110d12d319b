import { expect } from 'chai';
import { RotationDriver } from '../../../src/ca/rotation/driver.ts';
import { defaultRotationSettings } from '../../../src/ca/rotation/settings.ts';
import { createRotation } from '../../../src/ca/rotation/index.ts';
import { verifyAudit } from '../../../src/ca/audit/verify.ts';
import { forEachVacantStore, type StorePlace } from '../support/stores.ts';
import { makeAuthority, openReplica, type TestAuthority } from './authority.ts';
import { acknowledge, enrolHost, newestBundle, renewHost } from './fleet.ts';

const day = 86_400_000;
const settings = {
  ...defaultRotationSettings,
  tokenKeyLifetimeMs: 1000 * day,
};

describe('automatic rotation driver', () => {
  forEachVacantStore((name, place) => {
    it('does nothing and takes no lease while nothing is due', async () => {
      const authority = await makeAuthority(place());
      expect(await driverOf(authority).tick()).to.deep.equal([]);
      const leases = await authority.context.store.queries
        .selectFrom('lease')
        .where('name', '=', 'rotation')
        .selectAll()
        .execute();
      expect(leases).to.deep.equal([]);
    });

    it('brings a new root to all hosts, waiting for them at each gate', async () => {
      const authority = await makeAuthority(place());
      const { clock } = authority;
      const driver = driverOf(authority);
      clock.advance(6 * 365 * day);
      let host = await enrolHost(authority, 'a', { bundleAck: 1 });
      expect(await rootSteps(driver)).to.deep.equal(['prepare', 'publish']);
      clock.advance(3 * 365 * day);
      host = await renewHost(authority, host);
      expect(await rootSteps(driver)).to.deep.equal([]);
      await acknowledge(authority, [host], await newestBundle(authority));
      expect(await rootSteps(driver)).to.deep.equal(['activate', 'reissue']);
      clock.advance(settings.overlapMs);
      // The certificate of the host runs until now: what is below the old root is over.
      host = await renewHost(authority, host);
      await acknowledge(authority, [host], await newestBundle(authority));
      expect(await rootSteps(driver)).to.deep.equal(['retire']);
      clock.advance(settings.overlapMs);
      expect(await rootSteps(driver)).to.deep.equal(['destroy']);
      expect(await verifyAudit(authority.context.store.queries)).to.include({ ok: true });
    });

    it('takes each step once when two replicas drive at the same time', async () => {
      const first = await makeAuthority(place());
      const second = await anotherReplica(name, place(), first);
      first.clock.advance(6 * 365 * day);
      const drivers = [driverOf(first), driverOf(second)];
      const taken = await Promise.all(drivers.map((driver) => driver.tick()));
      expect(taken.filter((steps) => steps.length > 0)).to.have.length(1);
      const roots = await first.context.store.queries
        .selectFrom('ca_generation')
        .where('kind', '=', 'root')
        .select('state')
        .orderBy('number')
        .execute();
      expect(roots.map(({ state }) => state)).to.deep.equal(['signing', 'published']);
    });

    it('cannot write after it has lost its lease', async () => {
      const first = await makeAuthority(place());
      const second = await anotherReplica(name, place(), first);
      first.clock.advance(6 * 365 * day);
      // The first is paused where it makes keys, until its lease is over and the second has it.
      const generate = first.keys.generate.bind(first.keys);
      first.keys.generate = async (type) => {
        first.keys.generate = generate;
        const made = await generate(type);
        first.clock.advance(day);
        expect(await driverOf(second).tick()).not.to.deep.equal([]);
        return made;
      };
      const keys = first.keys.keys.size;
      expect(await driverOf(first).tick()).to.deep.equal([]);
      const roots = await first.context.store.queries
        .selectFrom('ca_generation')
        .where('kind', '=', 'root')
        .select('number')
        .execute();
      expect(roots).to.have.length(2);
      // Three kinds were due; the key the first had made is gone.
      expect(first.keys.keys.size).to.equal(keys + 3);
    });

    it('finishes a reissue that has reached every host', async () => {
      const authority = await makeAuthority(place());
      const rotation = createRotation({ ...authority, version: '1' });
      const host = await enrolHost(authority, 'a', { bundleAck: 1 });
      const caller = { name: 'owner' };
      await rotation.advance({ kind: 'issuing', step: 'taint', caller, force: { reason: 'lost' } });
      const slot = rotation.renewAt(host.id, host.issuer);
      expect(slot?.getTime()).to.be.at.least(authority.clock.ms);
      const renewed = await renewHost(authority, host);
      expect(rotation.renewAt(host.id, renewed.issuer)).to.equal(undefined);
      const [before] = (await rotation.status()).campaigns;
      expect(before).to.include({ total: 1, done: 1, finishedAt: undefined });
      await rotation.start();
      await rotation.close();
      const [after] = (await rotation.status()).campaigns;
      expect(after?.finishedAt).to.be.an.instanceOf(Date);
    });
  });
});

function driverOf({ context, tokenKeys }: TestAuthority): RotationDriver {
  return new RotationDriver({ context, tokenKeys, settings });
}

async function rootSteps(driver: RotationDriver): Promise<readonly string[]> {
  const taken = await driver.tick();
  return taken.filter(({ kind }) => kind === 'root').map(({ step }) => step);
}

/** On PostgreSQL over a connection of its own; SQLite is one process's alone. */
async function anotherReplica(
  kind: string,
  place: StorePlace,
  { keys, clock, context }: TestAuthority,
): Promise<TestAuthority> {
  const store = kind === 'sqlite' ? context.store : await place.open({ now: clock.now });
  return await openReplica(store, { keys, clock, id: 'replica-2' });
}
