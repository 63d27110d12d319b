import { ServiceError } from '../../rpc/errors.ts';
import { type RawBuilder, sql } from 'kysely';

/** Where a page ended: lists are in descending order of a moment, then of an id, and never shift. */
export interface Position {
  readonly at: number;
  readonly id: Uint8Array;
}

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Empty: the last page. */
  readonly nextPageToken: string;
}

/** How many items a page may have: 100 unless asked for, at most 1000. */
export function pageSize(asked: number): number {
  return asked === 0 ? defaultPageSize : Math.min(asked, maxPageSize);
}

/**
 * Cuts a page off rows that were read one beyond its size; a shorter one, if they are large.
 *
 * @param position of the last row shown
 * @param weigh bytes a row will take in the answer, at the most
 */
export function cutPage<Row>(
  rows: readonly Row[],
  size: number,
  position: (row: Row) => Position,
  weigh: (row: Row) => number = () => 0,
): Page<Row> {
  let bytes = 0;
  const fitting = rows.findIndex((row, index) => {
    bytes += weigh(row);
    return index > 0 && bytes > maxPageBytes;
  });
  const items = rows.slice(0, fitting === -1 ? size : Math.min(size, fitting));
  const last = items.at(-1);
  const more = rows.length > items.length && last !== undefined;
  return { items, nextPageToken: more ? writePageToken(position(last)) : '' };
}

/** The condition "behind the page that ended at this token"; of everything, for an empty token. */
export function behindPage(
  pageToken: string,
  columns: { readonly at: string; readonly id: string },
): RawBuilder<boolean> {
  if (pageToken === '') return sql<boolean>`1 = 1`;
  const { at, id } = readPageToken(pageToken);
  // A row value, as both stores have it, walks the index; the same with "or" would not.
  return sql<boolean>`(${sql.ref(columns.at)}, ${sql.ref(columns.id)}) < (${at}, ${id})`;
}

function writePageToken({ at, id }: Position): string {
  const bytes = Buffer.alloc(8 + id.length);
  bytes.writeBigUInt64BE(BigInt(at));
  bytes.set(id, 8);
  return bytes.toString('base64url');
}

/** @throws ServiceError `INVALID_ARGUMENT` for anything {@link writePageToken} does not write */
function readPageToken(text: string): Position {
  const bytes = Buffer.from(text, 'base64url');
  const at = bytes.length < 9 ? Number.NaN : Number(bytes.readBigUInt64BE());
  if (bytes.length > 8 + maxIdBytes || !Number.isSafeInteger(at)) {
    throw new ServiceError('INVALID_ARGUMENT', 'page_token_invalid', 'the page token is not ours');
  }
  return { at, id: Buffer.from(bytes.subarray(8)) };
}

const defaultPageSize = 100;
const maxPageSize = 1000;
/** A page is one message, and a message of the service is at most 4 MiB. */
const maxPageBytes = 2 * 1024 * 1024;
/** Serial numbers have at most 20 bytes (RFC 5280 §4.1.2.2), ids 16. */
const maxIdBytes = 20;
