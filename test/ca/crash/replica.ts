import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import {
  type Authority,
  CryptoPool,
  initialiseAuthority,
  openAuthority,
  openDiskKeys,
} from '../../../src/ca/index.ts';
import { openStore } from '../../../src/ca/store/open.ts';

/** Where an authority of these tests lives: its store, and a directory with its keys. */
export interface Home {
  readonly url: string;
  readonly directory: string;
}

const log = pino({ level: 'silent' });
const addresses = ['ca.example.org:8443'];

/** Makes an authority, or finishes making one. */
export async function initialise({ url, directory }: Home): Promise<void> {
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openKeys(directory, pool);
  try {
    await initialiseAuthority({
      store: { url, now: () => new Date(), log },
      keys,
      trustDomain: 'example.org',
      addresses,
      random: randomBytes,
      log,
    });
  } finally {
    await keys.close();
    await pool.close();
  }
}

/** One replica at work, on the real clock and with keys in this thread. */
export async function openReplica(
  { url, directory }: Home,
  replicaId = 'replica-1',
  clockOffsetMs = 0,
): Promise<Authority> {
  const now = (): Date => new Date(Date.now() + clockOffsetMs);
  const pool = new CryptoPool({ threads: 0 });
  const keys = await openKeys(directory, pool);
  return openAuthority({
    store: await openStore({ url, now, log, witnessPath: join(directory, `${replicaId}.witness`) }),
    keys,
    pool,
    replicaId,
    addresses,
    version: '0',
    mode: 'closed',
    connections: { origin: () => undefined, cut: () => undefined },
    registry: new Registry(),
    rotation: { automatic: false },
    now,
    random: randomBytes,
    log,
  });
}

function openKeys(directory: string, pool: CryptoPool): ReturnType<typeof openDiskKeys> {
  return openDiskKeys({ directory: join(directory, 'keys'), pool, random: randomBytes });
}
