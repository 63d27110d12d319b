import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { initialiseStore, openStore } from '../../../src/ca/store/open.ts';
import type { StoreOptions } from '../../../src/ca/store/options.ts';
import { replaceDatabaseFile } from '../../../src/database/sqlite/files.ts';
import type { Store } from '../../../src/ca/store/store.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { skip } from '../../support/skip.ts';

/** A place for one store. Opened stores are closed, and the place removed, at the end of its test. */
export interface StorePlace {
  readonly url: string;
  /** Makes the store for trust domain `example.org` and opens it. */
  initialise(options?: Partial<StoreOptions>): Promise<Store>;
  open(options?: Partial<StoreOptions>): Promise<Store>;
  /** Makes the store hold what another of its kind holds, which nobody has open. */
  fill(fromUrl: string): Promise<void>;
  /** Path of a file that is removed with the place. */
  file(name: string): string;
  /** What the store holds now; can be put in its place when nobody has it open. */
  snapshot(store: Store): Promise<{ restore(): Promise<void> }>;
}

/** One that somebody has to close. */
export interface OwnedPlace extends StorePlace {
  close(): Promise<void>;
}

/**
 * Runs a suite on SQLite and, where a server can be run, on PostgreSQL: each test has a place of its
 * own, with nothing in it.
 */
export function forEachStore(suite: StoreSuite): void {
  forEachPlace(suite, {});
}

/** The same for tests that fill their places: on PostgreSQL it is then that the database is made. */
export function forEachVacantStore(suite: StoreSuite): void {
  forEachPlace(suite, { vacant: true });
}

type StoreSuite = (name: Store['kind'], place: () => StorePlace) => void;

interface PlaceOptions {
  readonly vacant?: boolean;
}

function forEachPlace(suite: StoreSuite, options: PlaceOptions): void {
  describe('on SQLite', () => {
    let current: OwnedPlace;
    beforeEach(() => {
      current = sqlitePlace();
    });
    afterEach(() => current.close());
    suite('sqlite', () => current);
  });
  describe('on PostgreSQL', () => {
    let current: OwnedPlace | undefined;
    beforeEach(async function () {
      this.timeout(60_000);
      const place = await postgresPlace(options);
      if ('unavailable' in place) {
        return skip(this, place.unavailable);
      }
      current = place;
    });
    afterEach(async () => {
      await current?.close();
      current = undefined;
    });
    suite('postgres', () => {
      if (current === undefined) throw new Error('no place');
      return current;
    });
  });
}

/** A database of its own on the server of this test run. */
export async function postgresPlace({ vacant = false }: PlaceOptions = {}): Promise<
  OwnedPlace | { readonly unavailable: string }
> {
  const server = await sharedPostgres();
  if ('unavailable' in server) return server;
  const url = vacant ? server.vacantUrl() : await server.createDatabase();
  return placeAt(url, {
    fill: async (from) => {
      if (!vacant) await server.dropDatabase(url);
      await server.copyDatabase(from, url);
    },
    remove: () => server.dropDatabase(url),
    snapshot: async () => {
      const dump = await server.dump(url);
      return { restore: () => server.load(url, dump) };
    },
  });
}

/** For a single test that needs a store and does not mind which. */
export function sqlitePlace(): OwnedPlace {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-store-'));
  const path = join(directory, 'authority.db');
  return placeAt(`sqlite:${path}`, {
    fill: (from) => {
      copyFileSync(from.replace(/^sqlite:/, ''), path);
      return Promise.resolve();
    },
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
      return Promise.resolve();
    },
    snapshot: async (store) => {
      const copy = join(directory, `copy-${randomBytes(4).toString('hex')}`);
      await store.backup(copy);
      return {
        restore: () => {
          replaceDatabaseFile(path, copy);
          return Promise.resolve();
        },
      };
    },
  });
}

interface PlaceKind {
  fill(from: string): Promise<void>;
  remove(): Promise<void>;
  snapshot(store: Store): Promise<{ restore(): Promise<void> }>;
}

function placeAt(url: string, kind: PlaceKind): OwnedPlace {
  const files = mkdtempSync(join(tmpdir(), 'sidekey-place-'));
  const stores = new Set<Store>();
  const defaults: StoreOptions = { url, now: () => new Date(), log: pino({ level: 'silent' }) };
  const track = async (opening: Promise<Store>): Promise<Store> => {
    const store = await opening;
    stores.add(store);
    return store;
  };
  return {
    url,
    initialise: (options = {}) =>
      track(
        initialiseStore(
          { ...defaults, ...options },
          { trustDomain: 'example.org', random: (length) => randomBytes(length) },
        ),
      ),
    open: (options = {}) => track(openStore({ ...defaults, ...options })),
    fill: (from) => kind.fill(from),
    file: (name) => join(files, name),
    snapshot: (store) => kind.snapshot(store),
    close: async () => {
      await Promise.all([...stores].map((store) => store.close()));
      await kind.remove();
      rmSync(files, { recursive: true, force: true });
    },
  };
}
