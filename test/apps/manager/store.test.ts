import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet } from '../../../src/apps/manager/fleet/fleet.ts';
import { ManagerStore } from '../../../src/apps/manager/store/manager-store.ts';
import { BeatLog } from '../../../src/apps/manager/sweep/beat-log.ts';
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts';
import { skip } from '../../support/skip.ts';
import { memoryLog } from '../../sidecar/fixture.ts';

for (const kind of ['sqlite', 'postgres'] as const) {
  describe(`the store of a manager on ${kind}`, function () {
    this.timeout(60_000);
    let server: PostgresServer | undefined;
    let directory: string;
    let url: string;
    const { log } = memoryLog();
    const open = () => ManagerStore.open({ url, now: () => new Date(), log });

    before(async function () {
      if (kind === 'sqlite') return;
      const started = await sharedPostgres();
      if ('unavailable' in started) return skip(this, started.unavailable);
      server = started;
    });
    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'sidekey-manager-store-'));
      url =
        server === undefined ? `sqlite:${join(directory, 'm.db')}` : await server.createDatabase();
    });
    afterEach(() => {
      rmSync(directory, { recursive: true, force: true });
    });

    it('keeps agents, labels and heartbeats, and a bounded number of these', async () => {
      const store = await open();
      const fleet = await Fleet.load(store, 10);
      const record = await fleet.add(
        { name: 'a', state: 'pending', mode: 'agent-initiated', labels: { site: 'x' } },
        { actor: 'test', action: 'added' },
      );
      const beats = new BeatLog({ store, log, kept: 3 });
      for (let at = 1; at <= 5; at += 1) beats.add(record, { at, outcome: 'missed' });
      await beats.flush();
      await store.close();
      const again = await open();
      const loaded = (await Fleet.load(again, 10)).byId(record.row.id);
      expect(loaded).to.deep.include({ labels: { site: 'x' }, missed: 5, beats: 5 });
      const kept = await again.reads.selectFrom('heartbeat').select('at').orderBy('at').execute();
      expect(kept.map(({ at }) => at)).to.deep.equal([3, 4, 5]);
      await again.close();
    });

    it('does none of what is done together with a failure, but the rest', async () => {
      const store = await open();
      const good = store.together((transaction) =>
        transaction.audit({ actor: 'test', action: 'good', subject: '' }),
      );
      const bad = store
        .together(() => Promise.reject(new Error('spoiled')))
        .catch((error: unknown) => (error as Error).message);
      await good;
      expect(await bad).to.equal('spoiled');
      const rows = await store.reads.selectFrom('audit').select('action').execute();
      expect(rows).to.deep.equal([{ action: 'good' }]);
      await store.close();
    });

    it('is open in one process at a time', async () => {
      const store = await open();
      const error = await open().catch((cause: unknown) => cause as Error);
      expect((error as Error).message).to.match(/another process is using this store/u);
      await store.close();
    });

    it('does not let its audit log be changed', async () => {
      const store = await open();
      await store.transact((transaction) =>
        transaction.audit({ actor: 'test', action: 'x', subject: '' }),
      );
      const deleting = store.transact(({ queries }) => queries.deleteFrom('audit').execute());
      const error = await deleting.catch((cause: unknown) => cause as Error);
      expect((error as Error).message).to.match(/only added to/u);
      await store.close();
    });
  });
}
