import { expect } from 'chai';
import { verifyAudit } from '../../../src/ca/audit/verify.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import type { Transaction } from '../../../src/ca/store/transaction.ts';
import { forEachStore } from '../support/stores.ts';

const entry = (subject: string) =>
  ({ actor: 'test', action: 'test.do', subject, outcome: 'done' }) as const;

describe('Store', () => {
  forEachStore((name, place) => {
    it('is made once, and opened after', async () => {
      const store = await place().initialise();
      expect(store.kind).to.equal(name);
      const { trustDomain, epoch } = await readMeta(store.queries);
      expect(trustDomain).to.equal('example.org');
      expect(epoch).to.match(/^[4-7][0-9a-f]{7}$/);
      await store.close();
      const again = await place().open();
      expect((await readMeta(again.queries)).epoch).to.equal(epoch);
      expect(again.problem).to.equal(undefined);
    });

    it('numbers the audit log and the feed without gaps, in the order of commits', async () => {
      const store = await place().initialise();
      await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          store
            .transact(async (transaction) => {
              transaction.audit(entry(String(index)));
              await transaction.publish({ type: 'bundle', subject: Uint8Array.of(index) });
              if (index % 3 === 0) throw new Error('not this one');
            })
            .catch(() => undefined),
        ),
      );
      const audit = await store.queries.selectFrom('audit').selectAll().orderBy('seq').execute();
      expect(audit.map(({ seq }) => seq)).to.deep.equal(audit.map((_, index) => index + 1));
      const feed = await store.queries.selectFrom('feed').selectAll().orderBy('seq').execute();
      expect(feed.map(({ seq }) => seq)).to.deep.equal(feed.map((_, index) => index + 1));
      expect(feed.map(({ subject }) => String(subject[0]))).to.deep.equal(
        audit.map(({ subject }) => subject),
      );
      expect(audit).to.have.length(13);
      expect(await verifyAudit(store.queries)).to.deep.include({ ok: true, entries: 13 });
    });
  });
});
export type { Transaction };
