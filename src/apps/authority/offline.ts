import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { pino } from 'pino';
import { checkInvariants, type Violation } from '../../ca/check/check.ts';
import { type Initialised, initialiseAuthority } from '../../ca/initialise-authority.ts';
import { CryptoPool } from '../../ca/keys/crypto-pool.ts';
import { openStore, restoreStore } from '../../ca/store/open.ts';
import type { Restored } from '../../ca/store/restore.ts';
import {
  type AuthorityConfig,
  ConfigurationError,
  parseSidecarConfig,
  readSettings,
} from '../../sidecar/index.ts';
import { addressesOf, openAuthorityKeys, storeOptionsOf } from './surroundings.ts';

/**
 * Reads the section `authority` of a configuration file.
 *
 * @throws ConfigurationError if the file cannot be used, or has no such section
 */
export function readAuthorityConfig(file: string): AuthorityConfig {
  const { authority } = readSettings(file, parseSidecarConfig);
  if (authority !== undefined) return authority;
  throw new ConfigurationError([`${file}: has no section "authority"`]);
}

/** Makes the authority that a configuration describes: keys, store, everything in it. */
export async function makeAuthority(config: AuthorityConfig): Promise<Initialised> {
  mkdirSync(config.state, { recursive: true, mode: 0o700 });
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openAuthorityKeys(config, pool);
  try {
    return await initialiseAuthority({
      store: await storeOptionsOf(config, silent),
      keys,
      trustDomain: config.trustDomain,
      addresses: addressesOf(config),
      random: (length) => randomBytes(length),
      log: silent,
    });
  } finally {
    await keys.close();
    await pool.close();
  }
}

/** Checks the store of an authority that does not run: what must hold of it at any time. */
export async function checkStore(config: AuthorityConfig): Promise<readonly Violation[]> {
  const store = await openStore(await storeOptionsOf(config, silent));
  try {
    return await checkInvariants(store.queries, { now: new Date() });
  } finally {
    await store.close();
  }
}

/** What a restored store is told. */
export interface RestoreRequest {
  /** A backup, to be put in the place of an SQLite store; absent: the store is in place. */
  readonly from: string | undefined;
  readonly why: string;
}

/** Accepts a store of the past: a new epoch begins. The authority has to be stopped. */
export async function restoreAuthority(
  config: AuthorityConfig,
  { from, why }: RestoreRequest,
): Promise<Restored> {
  return await restoreStore(await storeOptionsOf(config, silent), {
    random: (length) => randomBytes(length),
    by: 'owner',
    why,
    ...(from === undefined ? {} : { from: resolve(from) }),
  });
}

/** What a command has to say it says itself. */
const silent = pino({ level: 'silent' });
