import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { CryptoPool } from '../../ca/keys/crypto-pool.ts';
import { openDiskKeys } from '../../ca/keys/disk-keys.ts';
import type { AuthorityKeyType, KeyManager } from '../../ca/keys/key-manager.ts';
import { isPkcs11Ref, openPkcs11Keys } from '../../ca/keys/pkcs11-keys.ts';
import { splitKeys } from '../../ca/keys/split-keys.ts';
import type { StoreOptions } from '../../ca/store/options.ts';
import { nodeTimers } from '../../ca/timers.ts';
import { formatAddress } from '../../rpc/address.ts';
import { type AuthorityConfig, ConfigurationError } from '../../sidecar/index.ts';

/** Where the store of an authority is, as its configuration says. Reads the file that holds a URL. */
export async function storeOptionsOf(
  { store, state }: AuthorityConfig,
  log: Logger,
): Promise<StoreOptions> {
  const now = (): Date => new Date();
  if (store.kind === 'urlFile') {
    const url = (await readSetting(store.path)).trim();
    return { url, now, log, witnessPath: join(state, 'store.witness') };
  }
  const beside = store.url.startsWith('sqlite:')
    ? {}
    : { witnessPath: join(state, 'store.witness') };
  return { url: store.url, now, log, ...beside };
}

/** Opens what holds the private keys of an authority. Rejects with `KeyManagerError`. */
export async function openAuthorityKeys(
  { keys }: AuthorityConfig,
  pool: CryptoPool,
): Promise<KeyManager> {
  const random = (length: number): Uint8Array => randomBytes(length);
  const disk = await openDiskKeys({
    directory: keys.directory,
    ...(keys.passphraseFile === undefined ? {} : { passphrasePath: keys.passphraseFile }),
    pool,
    random,
  });
  if (keys.kind === 'disk') return disk;
  const token = await openPkcs11Keys({
    modulePath: keys.module,
    tokenLabel: keys.tokenLabel,
    pinPath: keys.pinFile,
    random,
    timers: nodeTimers,
  });
  const supports = (type: AuthorityKeyType): boolean => token.supports(type);
  return splitKeys({ keys: token, supports, owns: isPkcs11Ref }, disk);
}

/** host:port of the enrolment service, as hosts reach it. */
export function addressesOf({ advertise, listen }: AuthorityConfig): readonly string[] {
  return advertise.length > 0 ? advertise : [formatAddress(listen)];
}

async function readSetting(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError([`${path}: ${message}`]);
  }
}
