import { z } from 'zod';
import type { FeedType } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';

/** One thing that happened, in the order of commits. */
export interface FeedItem {
  readonly sequence: number;
  readonly type: FeedType;
  readonly subject: Uint8Array;
  readonly payload: Readonly<Record<string, string | number>>;
  readonly at: number;
}

/** Number of the last entry. */
export async function feedHead(queries: Queries): Promise<number> {
  const row = await queries
    .selectFrom('counter')
    .select('value')
    .where('name', '=', 'feed')
    .executeTakeFirst();
  return row?.value ?? 0;
}

/** The entries behind a number, in order. */
export async function readFeed(
  queries: Queries,
  after: number,
  limit: number,
): Promise<readonly FeedItem[]> {
  const rows = await queries
    .selectFrom('feed')
    .select(['seq', 'type', 'subject', 'payload', 'at'])
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map(({ seq, type, subject, payload, at }) => ({
    sequence: seq,
    type,
    subject,
    payload: payloadSchema.parse(JSON.parse(payload)),
    at,
  }));
}

const payloadSchema = z.record(z.string(), z.union([z.string(), z.number()]));
