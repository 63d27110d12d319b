import { DatabaseSync } from '@photostructure/sqlite';
import { expect } from 'chai';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { sql } from 'kysely';
import { existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { pino } from 'pino';
import { isFatalForSqlite, SqliteError } from '../../../src/database/errors.ts';
import { readMeta } from '../../../src/ca/store/meta.ts';
import { restoreStore } from '../../../src/ca/store/open.ts';
import { StoreError } from '../../../src/ca/store/options.ts';
import type { Store } from '../../../src/ca/store/store.ts';
import { rejection } from '../support/rejection.ts';
import { type OwnedPlace, sqlitePlace } from '../support/stores.ts';
import { typescriptOptions } from '../../support/typescript.ts';

describe('SQLite store', () => {
  let place: OwnedPlace;
  let path: string;
  beforeEach(() => {
    place = sqlitePlace();
    path = place.url.slice('sqlite:'.length);
  });
  afterEach(() => place.close());

  const note = (store: Store, subject: string): Promise<void> =>
    store.transact((transaction) => {
      transaction.audit({ actor: 'test', action: 'test', subject, outcome: 'done' });
      return Promise.resolve();
    });
  const notes = async (store: Store): Promise<readonly string[]> =>
    (await store.queries.selectFrom('audit').select('subject').orderBy('seq').execute()).map(
      ({ subject }) => subject,
    );

  it('waits for the disk, in files only its owner can read', async () => {
    const store = await place.initialise();
    await note(store, 'a');
    for (const suffix of ['', '-wal', '-shm', '.lock']) {
      expect(statSync(path + suffix).mode & 0o777, suffix).to.equal(0o600);
    }
    // Of the header: 2 says write-ahead log.
    expect(readFileSync(path)[18]).to.equal(2);
  });

  it('leaves all that was written in the one file when it is closed', async () => {
    const store = await place.initialise();
    await note(store, 'a');
    expect(await notes(store)).to.deep.equal(['a']);
    expect(await store.snapshot((queries) => readMeta(queries))).to.have.property('epoch');
    await store.close();
    expect(statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0).to.equal(0);
    const file = new DatabaseSync(path, { readOnly: true });
    expect(file.prepare('select subject from audit').all()).to.have.length(1);
    file.close();
  });

  it('belongs to one process at a time', async () => {
    const store = await place.initialise();
    expect((await rejection(place.open())).message).to.match(/another process is using/);
    await store.close();
    await place.open();
  });

  it('keeps what it answered for when its process is killed', async function () {
    this.timeout(60_000);
    const store = await place.initialise();
    await store.close();
    const child = fork(new URL('./killed-writer.ts', import.meta.url), [place.url], {
      execArgv: [...typescriptOptions],
    });
    const answered: string[] = [];
    child.on('message', (subject: string) => {
      answered.push(subject);
      if (answered.length === 20) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const kept = await notes(await place.open());
    expect(kept.slice(0, answered.length)).to.deep.equal(answered);
    // At most the one that was under way is there besides.
    expect(kept.length - answered.length).to.be.within(0, 1);
  });

  it('undoes what found the disk full, says so, and recovers by itself', async () => {
    const store = await place.initialise();
    // What a quota does.
    const allowPages = (pages: number): Promise<unknown> =>
      store.transact(({ queries }) =>
        sql.raw(`pragma max_page_count = ${String(pages)}`).execute(queries),
      );
    await allowPages(Math.ceil(statSync(path).size / 4096) + 100);
    const big = store.transact(async (transaction) => {
      transaction.audit({ actor: 'test', action: 'test', subject: 'big', outcome: 'done' });
      await transaction.queries
        .insertInto('bundle')
        .values({ seq: 1, document: randomBytes(1 << 20), created_at: 0 })
        .execute();
    });
    expect((await rejection(big)).message).to.match(/full/);
    expect(store.problem).to.equal('the disk is full');
    await allowPages(1 << 20);
    await note(store, 'small');
    while (store.problem !== undefined) await new Promise((resolve) => setImmediate(resolve));
    expect(await notes(store)).to.deep.equal(['small']);
  });

  it('asks for no certificates when little room is left, and takes other changes', async () => {
    await (await place.initialise()).close();
    const tight = await place.open({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    expect(tight.problem).to.match(/MiB left/);
    await note(tight, 'revoked');
    await tight.close();
    expect((await place.open()).problem).to.equal(undefined);
  });

  it('says which errors leave nothing certain', () => {
    const fatal = {
      10: true,
      1034: true,
      1290: true,
      11: true,
      26: true,
      13: false,
      5: false,
      2067: false,
    };
    for (const [code, expected] of Object.entries(fatal)) {
      expect(isFatalForSqlite(new SqliteError('', Number(code))), code).to.equal(expected);
    }
  });

  it('does not open a damaged file', async () => {
    const store = await place.initialise();
    for (let index = 0; index < 50; index += 1)
      await note(store, `${String(index)}${'x'.repeat(2000)}`);
    await store.close();
    const descriptor = openSync(path, 'r+');
    for (let page = 60; page < statSync(path).size / 4096; page += 1) {
      writeSync(descriptor, randomBytes(4096), 0, 4096, page * 4096);
    }
    expect(await rejection(place.open())).to.be.instanceOf(StoreError);
  });

  it('is copied while it is written to, and the copy knows what it is', async () => {
    const store = await place.initialise();
    await note(store, 'before');
    const copy = place.file('copy');
    const until = { copied: false };
    const writing = (async () => {
      while (!until.copied) await note(store, 'during');
    })();
    await store.backup(copy);
    until.copied = true;
    await writing;
    expect(await rejection(store.backup(copy))).to.be.instanceOf(StoreError);
    expect(statSync(copy).mode & 0o777).to.equal(0o600);
    expect(existsSync(`${copy}.partial`)).to.equal(false);
    const file = new DatabaseSync(copy, { readOnly: true });
    expect(file.prepare('pragma integrity_check').get()).to.deep.include({ integrity_check: 'ok' });
    file.close();
    await store.close();

    const { epoch, previousEpoch } = await restoreStore(
      { url: place.url, now: () => new Date(), log: pino({ level: 'silent' }) },
      { from: copy, by: 'owner', why: 'test', random: (length) => randomBytes(length) },
    );
    expect(epoch).not.to.equal(previousEpoch);
    const again = await place.open();
    expect((await readMeta(again.queries)).epoch).to.equal(epoch);
    expect((await notes(again))[0]).to.equal('before');
    expect(again.problem).to.equal(undefined);
    await note(again, 'after');
  });

  it('takes no change as a copy in the place of the store', async () => {
    const store = await place.initialise();
    await note(store, 'a');
    const before = await place.snapshot(store);
    await store.close();
    await before.restore();
    const copy = await place.open();
    expect(copy.problem).to.match(/this is a backup of/);
    expect(await rejection(note(copy, 'b'))).to.be.instanceOf(StoreError);
    expect(await notes(copy)).to.deep.equal(['a']);
  });
});
