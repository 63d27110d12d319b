import type { Store } from '../store/store.ts';

/**
 * Deletes entries of the feed that are older than a week. Hosts further behind get what holds now in
 * their stead, as those do that are new, and so does a replica that stood still for so long. The last
 * entry stays, and revocations have rows of their own. Piece by piece, with other changes in between.
 * Answers how many it deleted.
 */
export async function compactFeed({ store }: { readonly store: Store }): Promise<number> {
  let deleted = 0;
  for (;;) {
    const piece = await store.transact(async ({ queries, now }) => {
      const old = await queries
        .selectFrom('feed')
        .select('seq')
        .where('at', '<', now - KEPT_MS)
        .where('seq', '<', (query) =>
          query.selectFrom('counter').select('value').where('name', '=', 'feed'),
        )
        .orderBy('seq')
        .limit(PIECE)
        .execute();
      const last = old.at(-1);
      if (last !== undefined)
        await queries.deleteFrom('feed').where('seq', '<=', last.seq).execute();
      return old.length;
    });
    deleted += piece;
    if (piece < PIECE) return deleted;
  }
}

const KEPT_MS = 7 * 86_400_000;
/** Some ten milliseconds of deletes. */
const PIECE = 2000;
