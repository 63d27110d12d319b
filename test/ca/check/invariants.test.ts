import { DatabaseSync } from '@photostructure/sqlite';
import { expect } from 'chai';
import pg from 'pg';
import { checkInvariants } from '../../../src/ca/check/check.ts';
import { queriesOver } from '../../../src/database/dialect.ts';
import { clientConfig, executeInOrder } from '../../../src/database/postgres/client.ts';
import { parsePostgresUrl } from '../../../src/database/postgres/url.ts';
import { Statements } from '../../../src/database/sqlite/statements.ts';
import type { Queries } from '../../../src/ca/store/transaction.ts';
import { type OwnedPlace, postgresPlace, sqlitePlace } from '../support/stores.ts';
import { livelyAuthority } from './lively-authority.ts';
import { plants } from './plants.ts';
import { skip } from '../../support/skip.ts';

/** A store that can be spoiled, checked, and is then as before. */
interface Spoilable {
  spoil(statements: readonly string[], check: (queries: Queries) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

describe('checkInvariants', function () {
  this.timeout(120_000);
  for (const { name, makePlace, open } of [
    { name: 'SQLite', makePlace: () => Promise.resolve(sqlitePlace()), open: openSqlite },
    { name: 'PostgreSQL', makePlace: postgresPlace, open: openPostgres },
  ]) {
    describe(`on ${name}`, () => {
      let place: OwnedPlace | undefined;
      let store: Spoilable;
      let now: Date;
      before(async function () {
        const made = await makePlace();
        if ('unavailable' in made) return skip(this, made.unavailable);
        place = made;
        ({ now } = await livelyAuthority(place));
        store = await open(place.url);
      });
      after(async () => {
        if (place === undefined) return;
        await store.close();
        await place.close();
      });

      it('finds nothing in an authority that enrolled, renewed, revoked and rotated', () =>
        store.spoil([], async (queries) => {
          expect(await checkInvariants(queries, { now })).to.deep.equal([]);
        }));

      for (const { what, invariant, finds, statements } of plants) {
        it(`${invariant}: finds ${what}`, () =>
          store.spoil(statements, async (queries) => {
            const violations = await checkInvariants(queries, { now });
            const found = violations.filter(
              (each) => each.invariant === invariant && finds.test(each.problem),
            );
            expect(found, JSON.stringify(violations)).not.to.have.length(0);
          }));
      }
    });
  }
});

async function openSqlite(url: string): Promise<Spoilable> {
  const database = new DatabaseSync(url.slice('sqlite:'.length));
  database.exec('pragma foreign_keys = off; pragma ignore_check_constraints = on');
  const statements = new Statements(database);
  const queries = queriesOver('sqlite', (sql, parameters) =>
    Promise.resolve(statements.run(sql, parameters)),
  );
  const guards = database.prepare(`select name from sqlite_schema where type = 'trigger'`).all();
  return Promise.resolve({
    spoil: async (changes, check) => {
      database.exec('begin');
      try {
        for (const { name } of guards) database.exec(`drop trigger ${String(name)}`);
        for (const change of changes) {
          // A change of nothing plants nothing.
          if (change.startsWith('drop')) database.exec(change);
          else expect(database.prepare(change).run().changes, change).to.be.above(0);
        }
        await check(queries);
      } finally {
        database.exec('rollback');
      }
    },
    close: () => {
      database.close();
      return Promise.resolve();
    },
  });
}

async function openPostgres(url: string): Promise<Spoilable> {
  const client = new pg.Client(clientConfig(parsePostgresUrl(url), {}));
  await client.connect();
  const { rows: checks } = await client.query(
    `select conrelid::regclass as "table", conname from pg_constraint where contype = 'c' and conrelid <> 0`,
  );
  return {
    spoil: async (changes, check) => {
      await client.query('begin');
      try {
        await client.query('set local session_replication_role = replica');
        for (const { table, conname } of checks) {
          await client.query(`alter table ${String(table)} drop constraint ${String(conname)}`);
        }
        for (const change of changes) {
          const { rowCount } = await client.query(change);
          if (!change.startsWith('drop')) expect(rowCount, change).to.be.above(0);
        }
        await check(queriesOver('postgres', executeInOrder(client)));
      } finally {
        await client.query('rollback');
      }
    },
    close: () => client.end(),
  };
}
