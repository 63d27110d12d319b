import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { CryptoPool } from '../../../src/ca/keys/crypto-pool.ts';
import { openDiskKeys } from '../../../src/ca/keys/disk-keys.ts';
import { initialiseAuthority } from '../../../src/ca/initialise-authority.ts';
import { madeOnce } from './made-once.ts';
import type { StorePlace } from './stores.ts';

export interface NewAuthority {
  /** When it is made. */
  readonly at: Date;
  readonly addresses: readonly string[];
  /** Where its keys go. */
  readonly keysDirectory: string;
}

/**
 * Puts a new authority for `example.org` in a place. Those of one process, made at the same time for
 * the same addresses, are the same: keys, generations, tokens of one verify with the other. What is
 * made now may have been made within the last hour.
 */
export async function newAuthority(
  place: StorePlace,
  { at, addresses, keysDirectory }: NewAuthority,
): Promise<void> {
  const isNow = Math.abs(at.getTime() - Date.now()) < 3_600_000;
  const name = `${addresses.join(' ')} at ${isNow ? 'now' : at.toISOString()}`;
  const made = await madeOnce(place, name, async (url) => {
    const directory = mkdtempSync(join(tmpdir(), 'sidekey-model-keys-'));
    process.once('exit', () => {
      rmSync(directory, { recursive: true, force: true });
    });
    await initialise(url, at, addresses, directory);
    return directory;
  });
  cpSync(made, keysDirectory, { recursive: true });
}

async function initialise(
  url: string,
  at: Date,
  addresses: readonly string[],
  keysDirectory: string,
): Promise<void> {
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openDiskKeys({ directory: keysDirectory, pool, random });
  await initialiseAuthority({
    store: { url, now: () => at, log },
    keys,
    trustDomain: 'example.org',
    addresses,
    random,
    log,
  });
  await keys.close();
  await pool.close();
}

const log = pino({ level: 'silent' });
const random = (length: number): Uint8Array => randomBytes(length);
