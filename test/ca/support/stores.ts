import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { initialiseStore, openStore } from '../../../src/ca/store/open.ts';
import type { StoreOptions } from '../../../src/ca/store/options.ts';
import type { Store } from '../../../src/ca/store/store.ts';

/** A place for one store. Opened stores are closed, and the place removed, at the end of its test. */
export interface StorePlace {
  readonly url: string;
  /** Makes the store for trust domain `example.org` and opens it. */
  initialise(options?: Partial<StoreOptions>): Promise<Store>;
  open(options?: Partial<StoreOptions>): Promise<Store>;
}

/** Runs a suite on SQLite and, where a server can be run, on PostgreSQL. */
export function forEachStore(suite: (name: string, place: () => StorePlace) => void): void {
  describe('on SQLite', () => {
    let current: StorePlace & { close(): Promise<void> };
    beforeEach(() => {
      current = sqlitePlace();
    });
    afterEach(() => current.close());
    suite('sqlite', () => current);
  });
}

/** For a single test that needs a store and does not mind which. */
export function sqlitePlace(): StorePlace & { close(): Promise<void> } {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-store-'));
  return placeAt(`sqlite:${join(directory, 'authority.db')}`, () => {
    rmSync(directory, { recursive: true, force: true });
  });
}

function placeAt(url: string, remove: () => void): StorePlace & { close(): Promise<void> } {
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
    close: async () => {
      await Promise.all([...stores].map((store) => store.close()));
      remove();
    },
  };
}
