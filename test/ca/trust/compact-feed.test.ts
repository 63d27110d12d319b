import { expect } from 'chai';
import { revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import { compactFeed } from '../../../src/ca/trust/compact-feed.ts';
import { feedHead } from '../../../src/ca/trust/feed.ts';
import { TrustFeed } from '../../../src/ca/trust/trust-feed.ts';
import { dayMs } from '../support/rows.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';

describe('compactFeed', () => {
  forEachVacantStore((_, place) => {
    let authority: TrustAuthority;

    beforeEach(async () => {
      authority = await openTrustAuthority(place());
    });
    afterEach(() => authority.close());

    const revoke = async (id: Uint8Array): Promise<void> => {
      await authority.context.writer.submit(revokeOperation, {
        subject: { kind: 'agent', id },
        order: { reason: 'keyCompromise', by: 'owner' },
      });
    };
    const kept = async (): Promise<number> =>
      (await authority.store.queries.selectFrom('feed').select('seq').execute()).length;

    it('deletes what is older than a week, but for the last entry', async () => {
      const { hosts } = await authority.enrol(3);
      await revoke(hosts[0]!.agent.id);
      await revoke(hosts[1]!.agent.id);
      const before = await kept();
      expect(await compactFeed(authority)).to.equal(0);
      authority.clock.ms += 8 * dayMs;
      expect(await compactFeed(authority)).to.equal(before - 1);
      expect(await kept()).to.equal(1);
      await revoke(hosts[2]!.agent.id);
      expect(await compactFeed(authority)).to.equal(1);
      expect(await authority.violations()).to.deep.equal([]);
    });

    it('leaves a replica that stood still with all that is revoked', async () => {
      const { hosts } = await authority.enrol(3);
      const { store } = authority;
      const feed = new TrustFeed(authority.context);
      await feed.start();
      const start = feed.head;
      feed.close();
      await revoke(hosts[0]!.agent.id);
      await revoke(hosts[1]!.agent.id);
      authority.clock.ms += 8 * dayMs;
      await compactFeed(authority);
      await revoke(hosts[2]!.agent.id);
      await compactFeed(authority);
      await feed.advance();
      expect(feed.head).to.equal(await feedHead(store.queries));
      for (const { agent } of hosts)
        expect(feed.revocations.agent(agent.id)).to.not.equal(undefined);
      // Hosts that know what is gone get a snapshot.
      expect(feed.oldest).to.equal(start + 2);
      expect(feed.batchAfter(start)).to.equal(undefined);
    });
  });
});
