import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { verifyAudit } from '../../../src/ca/audit/verify.ts';
import { isUniqueViolation } from '../../../src/database/errors.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import { restoreStore } from '../../../src/ca/store/open.ts';
import { StoreError } from '../../../src/ca/store/options.ts';
import { pino } from 'pino';
import { rejection } from '../support/rejection.ts';
import { seedAuthority, token, writeEnrolments } from '../support/rows.ts';
import { forEachStore } from '../support/stores.ts';

const entry = (subject: string) =>
  ({ actor: 'test', action: 'test.do', subject, outcome: 'done' }) as const;

describe('Store', () => {
  forEachStore((kind, place) => {
    it('is made once, and opened after', async () => {
      const store = await place().initialise();
      expect(store.kind).to.equal(kind);
      const { trustDomain, epoch } = await readMeta(store.queries);
      expect(trustDomain).to.equal('example.org');
      expect(epoch).to.match(/^[4-7][0-9a-f]{7}$/);
      await store.close();
      expect(await rejection(place().initialise())).to.be.instanceOf(StoreError);
      const again = await place().open();
      expect((await readMeta(again.queries)).epoch).to.equal(epoch);
      expect(again.problem).to.equal(undefined);
    });

    it('is not opened where none was made', async () => {
      expect(await rejection(place().open())).to.be.instanceOf(StoreError);
    });

    it('refuses a schema that is newer, or not the one its number says', async () => {
      const store = await place().initialise();
      const spoil = (change: Parameters<typeof store.transact>[0]): Promise<unknown> =>
        store.transact(change);
      await spoil(({ queries }) =>
        // Not one of the tables of the authority.
        queries
          .insertInto('schema_step' as 'meta')
          .values({ number: 2, name: 'tomorrow', checksum: '' } as never)
          .execute(),
      );
      await store.close();
      expect((await rejection(place().open())).message).to.match(/newer than this program/);
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

    it('hands out several numbers of a sequence, old and new, and takes them back with a rollback', async () => {
      const store = await place().initialise();
      const take = (count: number): Promise<number> =>
        store.transact((transaction) => transaction.nextMany('crl/0', count));
      expect(await take(3)).to.equal(1);
      await rejection(
        store.transact(async (transaction) => {
          await transaction.next('crl/0');
          throw new Error('no');
        }),
      );
      expect(await take(1)).to.equal(4);
    });

    it('keeps audit text byte for byte, whatever it holds', async () => {
      const store = await place().initialise();
      await store.transact((transaction) => {
        transaction.audit({
          ...entry('nul \0, half \ud800 of a pair, quote \'"\\ and \u{1f512}'),
          details: { text: '\0\ud800', list: ['a', 'b'], count: 3, yes: true },
        });
        return Promise.resolve();
      });
      expect(await verifyAudit(store.queries)).to.deep.include({ ok: true, entries: 1 });
    });

    it('has a clock that never goes back, and says when its own does', async () => {
      let nowMs = Date.UTC(2027, 0, 1);
      const store = await place().initialise({ now: () => new Date(nowMs) });
      const moment = (): Promise<number> => store.transact(({ now }) => Promise.resolve(now));
      expect(await moment()).to.equal(nowMs);
      nowMs -= 30_000;
      expect(await moment()).to.equal(nowMs + 30_000);
      expect(store.problem).to.equal(undefined);
      nowMs -= 60_000;
      expect(store.problem).to.match(/the clock is 90 s behind/);
      await store.close();
      const again = await place().open({ now: () => new Date(nowMs) });
      expect(again.problem).to.match(/the clock is 90 s behind/);
      nowMs += 60_000;
      expect(again.problem).to.equal(undefined);
    });

    it('wakes followers of the feed after the commit', async () => {
      const store = await place().initialise();
      const reader = await (kind === 'postgres' ? place().open() : Promise.resolve(store));
      const seen = new Promise<number>((resolve) => {
        reader.onFeed(() => {
          void reader.queries
            .selectFrom('feed')
            .select('seq')
            .execute()
            .then((rows) => {
              resolve(rows.length);
            });
        });
      });
      await store.transact((transaction) =>
        transaction.publish({ type: 'bundle', subject: Uint8Array.of(1) }),
      );
      expect(await seen).to.equal(1);
    });

    it('refuses writes outside of transactions', async () => {
      const store = await place().initialise();
      const write = store.queries.insertInto('meta').values({ name: 'a', value: 'b' }).execute();
      expect((await rejection(write)).message).to.match(/read-?only/i);
    });

    it('holds what the tables promise, whatever is asked', async () => {
      const store = await place().initialise();
      const authority = await store.transact(seedAuthority);
      const now = Date.now();
      const minted = [token(authority, now), token(authority, now)] as const;
      await store.transact(({ queries }) =>
        queries
          .insertInto('token')
          .values([...minted])
          .execute(),
      );
      const [rows] = await store.transact((transaction) =>
        writeEnrolments(transaction, authority, [minted[0]]),
      );
      const { agent, certificate, redemption, renewal } = rows!;
      const attempts: Record<string, (queries: typeof store.queries) => Promise<unknown>> = {
        'a second use': (queries) =>
          queries
            .insertInto('redemption')
            .values({ ...redemption, key_hash: randomBytes(32) })
            .execute(),
        'a use beyond the cap': (queries) =>
          queries.updateTable('token').set({ uses: 2 }).where('id', '=', minted[0].id).execute(),
        'a use taken back': (queries) =>
          queries.updateTable('token').set({ uses: 0 }).where('id', '=', minted[0].id).execute(),
        'a second renewal token of one generation': (queries) =>
          queries
            .insertInto('token')
            .values({ ...renewal, id: randomBytes(16) })
            .execute(),
        'another role': (queries) =>
          queries
            .updateTable('agent')
            .set({ role: 'manager' })
            .where('id', '=', agent.id)
            .execute(),
        'another certificate under a serial': (queries) =>
          queries
            .updateTable('certificate')
            .set({ der: randomBytes(10) })
            .where('serial', '=', certificate.serial)
            .execute(),
        'an agent from no token': (queries) =>
          queries
            .insertInto('agent')
            .values({
              ...agent,
              id: randomBytes(16),
              spiffe_id: 'spiffe://example.org/agent/x',
              source_token: randomBytes(16),
            })
            .execute(),
        'an audit entry changed': (queries) =>
          queries.updateTable('audit').set({ actor: 'nobody' }).where('seq', '=', 1).execute(),
        'an audit entry removed': (queries) => queries.deleteFrom('audit').execute(),
        'a second signing root': (queries) =>
          queries
            .insertInto('ca_generation')
            .values({
              id: randomBytes(16),
              kind: 'root',
              number: 2,
              parent: null,
              key_ref: 'disk:2',
              key_identifier: randomBytes(20),
              certificate: randomBytes(10),
              cross_certificate: null,
              old_with_new: null,
              state: 'signing',
              state_version: 1,
              published_in: null,
              not_before: 1,
              not_after: 2,
              created_at: 1,
            })
            .execute(),
      };
      for (const [what, attempt] of Object.entries(attempts)) {
        const outcome = await store
          .transact(({ queries }) => attempt(queries))
          .then(
            () => undefined,
            (error: unknown) => error,
          );
        expect(outcome, what).to.be.instanceOf(Error);
        if (what.includes('second')) expect(isUniqueViolation(outcome), what).to.equal(true);
      }
      // A refused transaction leaves the store as usable as before.
      await store.transact((transaction) => writeEnrolments(transaction, authority, [minted[1]]));
    });

    it('notices that it lost commits, and takes no change until that is accepted', async () => {
      const witnessPath = place().file('witness');
      const store = await place().initialise({ witnessPath });
      const change = (to: typeof store, subject: string): Promise<void> =>
        to.transact((transaction) => {
          transaction.audit(entry(subject));
          return Promise.resolve();
        });
      await change(store, 'kept');
      const before = await place().snapshot(store);
      await change(store, 'lost');
      const { epoch } = await readMeta(store.queries);
      await store.close();
      await before.restore();

      const old = await place().open({ witnessPath });
      expect(await rejection(change(old, 'refused'))).to.be.instanceOf(StoreError);
      expect(old.problem).to.match(/sidekey authority restore/);
      await old.close();

      const restored = await restoreStore(
        { url: place().url, witnessPath, now: () => new Date(), log: pino({ level: 'silent' }) },
        { by: 'owner', why: 'test', random: (length) => randomBytes(length) },
      );
      expect(restored.previousEpoch).to.equal(epoch);
      expect(restored.epoch).not.to.equal(epoch);
      const again = await place().open({ witnessPath });
      await change(again, 'after');
      expect(again.problem).to.equal(undefined);
      expect(await verifyAudit(again.queries)).to.deep.include({ ok: true, entries: 3 });
      // No number that may have been given out in the time that was lost is given out again.
      expect(await again.transact((transaction) => transaction.next('bundle'))).to.be.above(1000);
    });

    it('finishes what is under way before it closes, and takes nothing after', async () => {
      const store = await place().initialise();
      const done = store.transact((transaction) => {
        transaction.audit(entry('last'));
        return Promise.resolve('done');
      });
      const closed = store.close();
      expect(await done).to.equal('done');
      await closed;
      expect(await rejection(store.transact(() => Promise.resolve()))).to.be.instanceOf(StoreError);
    });
  });
});
