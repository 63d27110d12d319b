import { expect } from 'chai';
import { createRotation, type Gate, type Rotation } from '../../../src/ca/rotation/index.ts';
import { ReplicaHeartbeat } from '../../../src/ca/rotation/replica.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { makeAuthority, MemoryKeys, openReplica, type TestAuthority } from './authority.ts';

describe('replicas in rotation', () => {
  forEachVacantStore((_name, place) => {
    let first: TestAuthority;
    let rotation: Rotation;

    beforeEach(async () => {
      first = await makeAuthority(place());
      rotation = createRotation({ ...first, version: '1' });
    });

    it('waits until every live replica has tried the new key', async () => {
      const heartbeat = heartbeatOf(first);
      await heartbeat.beat();
      await take('prepare');
      expect(await gate('publish')).to.include({ open: false, needed: 1, reached: 0 });
      await heartbeat.beat();
      expect(await gate('publish')).to.include({ open: true, needed: 1, reached: 1 });
    });

    it('names the replica that cannot use the key', async () => {
      // Its key manager does not have what the first one makes.
      const { store } = first.context;
      const other = await openReplica(store, {
        keys: copyOf(first.keys),
        clock: first.clock,
        id: 'replica-2',
      });
      await take('prepare');
      await heartbeatOf(first).beat();
      await heartbeatOf(other).beat();
      const shut = await gate('publish');
      expect(shut).to.include({ open: false, needed: 2, reached: 1 });
      expect(shut.laggards.map(({ name, why }) => `${name} ${why}`)).to.deep.equal([
        'replica-2 cannot use the key yet',
      ]);
    });

    it('leaves out replicas that have given no sign of life', async () => {
      await heartbeatOf(first).beat();
      await take('prepare');
      first.clock.advance(30_001);
      expect(await gate('publish')).to.include({ open: true, needed: 0 });
    });

    it('leaves out replicas that were stopped', async () => {
      const heartbeat = heartbeatOf(first);
      await heartbeat.beat();
      await heartbeat.leave();
      await take('prepare');
      expect(await gate('publish')).to.include({ open: true, needed: 0 });
    });

    it('retires nothing that a replica still shows itself with', async () => {
      let shown = 1;
      const heartbeat = heartbeatOf(first, () => shown);
      await take('prepare');
      await heartbeat.beat();
      await take('publish');
      await take('activate');
      await heartbeat.beat();
      expect(await gate('retire')).to.include({ open: false });
      expect((await gate('retire')).laggards[0]?.why).to.equal(
        'still uses issuing 1, not issuing 2',
      );
      shown = 2;
      await heartbeat.beat();
      expect(await gate('retire')).to.include({ open: true });
    });

    it('writes how far its clock is behind those of others, never trusting it itself', async () => {
      await heartbeatOf(first).beat();
      const late = await openReplica(first.context.store, {
        keys: first.keys,
        clock: first.clock,
        id: 'late',
      });
      const behind = { ...late.context, now: () => new Date(first.clock.ms - 5000) };
      await heartbeatOf({ ...late, context: behind }).beat();
      const rows = await first.context.store.queries
        .selectFrom('replica')
        .select(['id', 'clock_offset_ms', 'heartbeat_at'])
        .orderBy('id')
        .execute();
      expect(rows.map(({ id, clock_offset_ms }) => [id, clock_offset_ms])).to.deep.equal([
        ['late', -5000],
        ['replica-1', 0],
      ]);
      expect(rows[0]?.heartbeat_at).to.equal(first.clock.ms);
    });

    it('finds out when a key that worked fails', async () => {
      const heartbeat = heartbeatOf(first);
      await heartbeat.beat();
      expect(await usableKeys()).to.have.length(4);
      first.keys.broken.add(first.context.generations.signing('issuing').keyRef);
      for (let beat = 0; beat < 60; beat += 1) await heartbeat.beat();
      expect(await usableKeys()).to.have.length(3);
    });

    async function take(step: 'prepare' | 'publish' | 'activate'): Promise<void> {
      await rotation.advance({ kind: 'root', step, caller: { name: 'owner' } });
    }

    async function gate(step: string): Promise<Gate> {
      const { gates } = await rotation.status();
      return gates.find((each) => each.kind === 'root' && each.step === step)!;
    }

    async function usableKeys(): Promise<readonly unknown[]> {
      const { usable_keys } = await first.context.store.queries
        .selectFrom('replica')
        .select('usable_keys')
        .executeTakeFirstOrThrow();
      return JSON.parse(usable_keys) as readonly unknown[];
    }
  });
});

function heartbeatOf(
  { context, tokenKeys }: TestAuthority,
  issuing: () => number = () => context.generations.signing('issuing').number,
): ReplicaHeartbeat {
  return new ReplicaHeartbeat({ context, tokenKeys, version: '1', issuing });
}

/** A key manager with the keys there are now and none that come later. */
function copyOf(keys: MemoryKeys): MemoryKeys {
  const copy = new MemoryKeys();
  for (const [ref, entry] of keys.keys) copy.keys.set(ref, entry);
  return copy;
}
