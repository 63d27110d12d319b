import { toHex } from '../../bytes/bytes.ts';
import type { Row } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';

/** Tokens of a batch, locked, with the earlier uses by the keys that come with them. */
export interface TokenRows {
  readonly tokens: ReadonlyMap<string, LockedToken>;
  redemption(token: Uint8Array, keyHash: Uint8Array): Row<'redemption'> | undefined;
}

/** What has to be known of a token to use it. */
export type LockedToken = Pick<Row<'token'>, (typeof lockedColumns)[number]>;

/** Reads and locks the tokens that requests come with; by hex of their ids. */
export async function lockTokens(
  transaction: Transaction,
  items: readonly { readonly token: Uint8Array; readonly keyHash: Uint8Array }[],
): Promise<TokenRows> {
  const { queries, rowLocks } = transaction;
  const ids = distinct(items.map(({ token }) => token));
  const keyHashes = distinct(items.map(({ keyHash }) => keyHash));
  const tokens = await queries
    .selectFrom('token')
    .select(lockedColumns)
    .where('id', 'in', ids)
    .orderBy('id')
    .$if(rowLocks, (query) => query.forUpdate())
    .execute();
  const used = tokens.filter(({ uses }) => uses > 0).map(({ id }) => id);
  // After the locks: what another replica used meanwhile is seen.
  const redemptions =
    used.length === 0
      ? []
      : await queries
          .selectFrom('redemption')
          .selectAll()
          .where('token', 'in', used)
          .where('key_hash', 'in', keyHashes)
          .execute();
  const byUse = new Map(redemptions.map((row) => [useKey(row.token, row.key_hash), row]));
  return {
    tokens: new Map(tokens.map((row) => [toHex(row.id), row])),
    redemption: (token, keyHash) => byUse.get(useKey(token, keyHash)),
  };
}

/** Counts the uses of tokens, with one statement for each number of uses. */
export async function spendTokens(
  { queries }: Transaction,
  uses: ReadonlyMap<string, number>,
): Promise<void> {
  const byCount = new Map<number, Uint8Array[]>();
  for (const [id, count] of uses) {
    const ids = byCount.get(count) ?? [];
    ids.push(Uint8Array.from(Buffer.from(id, 'hex')));
    byCount.set(count, ids);
  }
  await Promise.all(
    [...byCount].map(([count, ids]) =>
      queries
        .updateTable('token')
        .set((row) => ({ uses: row('uses', '+', count) }))
        .where('id', 'in', ids)
        .execute(),
    ),
  );
}

/** One use of a token by a key, as a key of maps. */
export function useKey(token: Uint8Array, keyHash: Uint8Array): string {
  return `${toHex(token)}/${toHex(keyHash)}`;
}

/** Each value once. */
export function distinct(values: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(values.map((value) => [toHex(value), value])).values()];
}

const lockedColumns = [
  'id',
  'kind',
  'key_id',
  'state',
  'cap',
  'uses',
  'expires_at',
  'role',
  'policy',
  'properties',
  'agent',
  'generation',
] as const;
