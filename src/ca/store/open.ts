import { type NewStore, StoreError, type StoreOptions } from './options.ts';
import type { Store } from './store.ts';

/**
 * Opens the store of an authority, bringing an older schema up to date. Rejects with
 * {@link StoreError} if there is none, it is in use, newer than this program, damaged, or not to be
 * reached.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  return Promise.reject(new StoreError(`cannot open ${options.url}`));
}

/** Makes a new store and opens it. Rejects with {@link StoreError} if there is one already. */
export async function initialiseStore(options: StoreOptions, store: NewStore): Promise<Store> {
  return Promise.reject(new StoreError(`cannot make ${options.url} for ${store.trustDomain}`));
}
