import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { beginNewEpoch } from '../../../src/ca/store/restore.ts';
import { forEachVacantStore } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  enroll,
  mintBundles,
  reasonOf,
  renew,
} from './authority-fixture.ts';

describe('a restored authority', () => {
  forEachVacantStore((_name, place) => {
    let fixture: AuthorityFixture;
    beforeEach(async function () {
      this.timeout(60_000);
      fixture = await authorityOn(place());
    });
    afterEach(() => fixture.close());

    it('takes no token that enrols from before, and goes on renewing', async () => {
      const [used, unused] = await mintBundles(fixture.authority, { count: 2 });
      const host = await enroll(fixture.authority, used!);
      const before = fixture.authority.context.epoch;
      await fixture.authority.context.store.transact((transaction) =>
        beginNewEpoch(transaction, { by: 'owner', why: 'test', random: randomBytes }),
      );
      const authority = await fixture.reopen();
      expect(authority.context.epoch).not.to.equal(before);
      expect(await reasonOf(enroll(authority, unused!))).to.equal('token_revoked');
      const next = await renew(authority, host);
      expect(Buffer.from(next.serial).toString('hex').slice(0, 8)).to.equal(
        authority.context.epoch,
      );
      const [fresh] = await mintBundles(authority);
      await enroll(authority, fresh!);
    });
  });
});
