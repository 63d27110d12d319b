/** A page of a list as the authority answers it. */
interface Page {
  readonly nextPageToken: string;
}

/** Items of a list, and whether there are more than were asked for. */
export interface Listed<Item> {
  readonly items: readonly Item[];
  readonly more: boolean;
}

/** Reads pages until the list ends or `limit` items are there. */
export async function readPages<Answer extends Page, Item>(
  limit: number,
  fetch: (pageSize: number, pageToken: string) => Promise<Answer>,
  itemsOf: (answer: Answer) => readonly Item[],
): Promise<Listed<Item>> {
  const items: Item[] = [];
  let pageToken = '';
  for (;;) {
    const answer = await fetch(Math.min(limit - items.length, maxPageSize), pageToken);
    items.push(...itemsOf(answer));
    pageToken = answer.nextPageToken;
    if (pageToken === '' || items.length >= limit) return { items, more: pageToken !== '' };
  }
}

const maxPageSize = 1000;
