import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-generation.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { type Given, enrollDeed, mint, type Minted, perform } from './deeds.ts';
import { type Home, initialise, openReplica } from './replica.ts';

/** Homes for authorities, on one kind of store. */
export interface Homes {
  empty(): Promise<Home>;
  /** What another home holds, whose authority is closed. */
  copy(home: Home): Promise<Home>;
  remove(home: Home): Promise<void>;
}

export const sqliteHomes: Homes = {
  empty: () => {
    const directory = newDirectory();
    return Promise.resolve({ directory, url: `sqlite:${join(directory, 'authority.db')}` });
  },
  copy: async (home) => {
    const copy = await sqliteHomes.empty();
    cpSync(home.directory, copy.directory, { recursive: true });
    return copy;
  },
  remove: ({ directory }) => {
    rmSync(directory, { recursive: true, force: true });
    return Promise.resolve();
  },
};

export async function postgresHomes(): Promise<Homes | { readonly unavailable: string }> {
  const server = await sharedPostgres();
  if ('unavailable' in server) return server;
  return {
    empty: async () => ({ directory: newDirectory(), url: await server.createDatabase() }),
    copy: async (home) => {
      const directory = newDirectory();
      cpSync(home.directory, directory, { recursive: true });
      return { directory, url: await server.copyDatabase(home.url) };
    },
    remove: async ({ directory, url }) => {
      await server.dropDatabase(url);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** An authority that has begun to work, to be copied: some unused tokens, and one host. */
export interface Template {
  readonly home: Home;
  readonly tokens: readonly Minted[];
  readonly keys: KeyPair;
  readonly given: Given;
}

export async function makeTemplate(homes: Homes): Promise<Template> {
  const home = await homes.empty();
  await initialise(home);
  const authority = await openReplica(home);
  const [first, ...tokens] = await mint(authority, { key: 'template', count: 4 });
  const keys = generateKeyPair('ecdsa-p256');
  const given = (await perform(authority, enrollDeed(first!, keys))) as Given;
  await authority.close();
  return { home, tokens, keys, given };
}

function newDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'sidekey-crash-'));
}
