import { expect } from 'chai';
import { keepUp } from '../../../src/ca/generations/keep-up.ts';
import { createRotation, type RotationStep } from '../../../src/ca/rotation/index.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { makeAuthority, openReplica, type TestAuthority } from './authority.ts';

describe('a replica that was paused during a rotation', () => {
  forEachVacantStore((_name, place) => {
    let first: TestAuthority;
    let paused: TestAuthority;

    beforeEach(async () => {
      first = await makeAuthority(place());
      const { store } = first.context;
      // Nothing tells it of what the first one does.
      paused = await openReplica(store, { keys: first.keys, clock: first.clock, id: 'paused' });
    });

    it('reads the CA in charge before it signs', async () => {
      await take('root', 'prepare', 'publish', 'activate');
      expect(paused.context.generations.signing('issuing').number).to.equal(1);
      await paused.context.store.transact(() => keepUp({ ...paused.context, ...paused }));
      expect(paused.context.generations.signing('issuing').number).to.equal(2);
    });

    it('reads the token key in charge before it signs', async () => {
      const before = paused.tokenKeys.all().find(({ state }) => state === 'signing');
      await take('token', 'prepare', 'activate');
      await paused.context.store.transact(() => keepUp({ ...paused.context, ...paused }));
      const now = paused.tokenKeys.all().find(({ state }) => state === 'signing');
      expect(now?.id).not.to.deep.equal(before?.id);
    });

    it('does nothing while it knows what is in charge', async () => {
      let refreshed = 0;
      const { generations } = paused.context;
      const counting = Object.create(generations, {
        refresh: { value: () => Promise.resolve(void (refreshed += 1)) },
        all: { value: () => generations.all() },
      });
      await keepUp({ ...paused.context, ...paused, generations: counting });
      expect(refreshed).to.equal(0);
    });

    it('refuses when it cannot learn what is in charge', async () => {
      await take('root', 'prepare', 'publish', 'activate');
      const { generations } = paused.context;
      const stale = Object.create(generations, {
        refresh: { value: () => Promise.resolve() },
        all: { value: () => generations.all() },
      });
      const refusal: unknown = await keepUp({
        ...paused.context,
        ...paused,
        generations: stale,
      }).catch((error: unknown) => error);
      expect(refusal).to.be.instanceOf(ServiceError);
      expect((refusal as ServiceError).reason).to.equal('keys_changing');
    });

    async function take(kind: 'root' | 'token', ...steps: readonly RotationStep[]): Promise<void> {
      const rotation = createRotation({ ...first, version: '1' });
      for (const step of steps) {
        await rotation.advance({ kind, step, caller: { name: 'owner' } });
      }
    }
  });
});
