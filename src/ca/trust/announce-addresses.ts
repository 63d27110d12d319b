import type { AuthorityContext } from '../context.ts';
import { readGenerations } from '../generations/read-generations.ts';
import { currentBundle, readBundle } from './bundle-document.ts';
import { gatherBundle } from './bundle-material.ts';
import { publishBundle } from './publish-bundle.ts';

/**
 * Tells hosts where the authority is, if that has changed since they were told last: as a new version
 * of the trust bundle, which says nothing else that is new. Hosts learn of it where the authority was
 * before, so that has to go on for a while. Answers whether there was news.
 */
export async function announceAddresses(context: AuthorityContext): Promise<boolean> {
  const { store, trustDomain, epoch, addresses } = context;
  const told = await currentBundle(store.queries);
  if (told === undefined || saysSo(told.document, addresses)) return false;
  return await store.transact(async (transaction) => {
    const { queries } = transaction;
    const previous = await currentBundle(queries);
    if (previous === undefined || saysSo(previous.document, addresses)) return false;
    const generations = await readGenerations(queries);
    const keyOf = context.generations.keyOf.bind(context.generations);
    const by = 'configuration';
    const sources = { trustDomain, epoch, addresses, generations, keyOf, previous, by };
    await publishBundle(transaction, await gatherBundle(sources));
    return true;
  });
}

function saysSo(document: Uint8Array, addresses: readonly string[]): boolean {
  const said = readBundle(document).addresses;
  return (
    said.length === addresses.length && said.every((address, index) => address === addresses[index])
  );
}
