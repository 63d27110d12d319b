import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sharedPostgres } from '../../support/postgres.ts';
import type { StorePlace } from './stores.ts';

/**
 * Fills a place with what `make` puts in an empty one, and answers what it answers. It is asked once
 * in this process for each name and kind of store; all places with that name get copies.
 */
export async function madeOnce<Made>(
  place: StorePlace,
  name: string,
  make: (url: string) => Promise<Made>,
): Promise<Made> {
  const isSqlite = place.url.startsWith('sqlite:');
  const key = `${name} on ${isSqlite ? 'SQLite' : 'PostgreSQL'}`;
  const model = models.get(key) ?? makeModel(isSqlite ? sqliteUrl() : postgresUrl(), make);
  models.set(key, model);
  const { url, made } = await model;
  await place.fill(url);
  // The name stands for the type.
  return made as Made;
}

interface Model {
  readonly url: string;
  readonly made: unknown;
}

async function makeModel(
  url: string | Promise<string>,
  make: (url: string) => Promise<unknown>,
): Promise<Model> {
  const empty = await url;
  return { url: empty, made: await make(empty) };
}

function sqliteUrl(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-model-'));
  process.once('exit', () => {
    rmSync(directory, { recursive: true, force: true });
  });
  return `sqlite:${join(directory, 'authority.db')}`;
}

/** Goes away with its server. */
async function postgresUrl(): Promise<string> {
  const server = await sharedPostgres();
  if ('unavailable' in server) throw new Error(server.unavailable);
  return await server.createDatabase();
}

const models = new Map<string, Promise<Model>>();
