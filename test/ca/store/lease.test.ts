import { expect } from 'chai';
import { type Lease, LeaseLostError, withLease } from '../../../src/ca/leases.ts';
import type { Store } from '../../../src/ca/store/store.ts';
import { forEachStore } from '../support/stores.ts';

describe('withLease', () => {
  forEachStore((_, place) => {
    let nowMs: number;
    let store: Store;
    beforeEach(async () => {
      nowMs = Date.UTC(2027, 0, 1);
      store = await place().initialise({ now: () => new Date(nowMs) });
    });
    const as = <T>(holder: string, work: (lease: Lease) => Promise<T>): Promise<T | undefined> =>
      withLease({ store, name: 'crl', holder, durationMs: 10_000 }, work);
    const fenceOf = (lease: Lease): Promise<number> => Promise.resolve(lease.fence);

    it('belongs to one holder until it runs out', async () => {
      expect(await as('a', fenceOf)).to.equal(1);
      expect(await as('b', fenceOf)).to.equal(undefined);
      expect(await as('a', fenceOf)).to.equal(1);
      nowMs += 10_000;
      expect(await as('b', fenceOf)).to.equal(2);
      expect(await as('a', fenceOf)).to.equal(undefined);
    });

    it('is prolonged by each transaction under it', async () => {
      await as('a', async (lease) => {
        nowMs += 9000;
        await lease.transact(() => Promise.resolve());
        nowMs += 9000;
        expect(await as('b', fenceOf)).to.equal(undefined);
      });
    });

    it('lets nobody write who slept past its end, even if nobody took it', async () => {
      const write = (lease: Lease): Promise<void> =>
        lease.transact(async ({ queries }) => {
          await queries.insertInto('meta').values({ name: 'written', value: 'late' }).execute();
        });
      for (const taken of [false, true]) {
        const outcome = await as('a', async (lease) => {
          nowMs += 10_000;
          if (taken) expect(await as('b', fenceOf)).to.be.a('number');
          return write(lease).catch((error: unknown) => error);
        });
        expect(outcome).to.be.instanceOf(LeaseLostError);
      }
      const written = await store.queries
        .selectFrom('meta')
        .select('value')
        .where('name', '=', 'written')
        .execute();
      expect(written).to.deep.equal([]);
    });

    it('counts a new holder after it ran out, though it is the same replica', async () => {
      expect(await as('a', fenceOf)).to.equal(1);
      nowMs += 20_000;
      expect(await as('a', fenceOf)).to.equal(2);
    });
  });
});
