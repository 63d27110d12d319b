import { z } from 'zod';
import { equal, toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';

/** What is settled once for an order, however often it is given. */
export interface Begun {
  readonly batch: Uint8Array;
  readonly expiresAt: number;
  readonly policy: { readonly name: string; readonly version: number };
  /** Of the token key. */
  readonly keyId: Uint8Array;
}

export interface Remembered extends Begun {
  /** It was given before. */
  readonly again: boolean;
}

/**
 * Settles an order under its key in this transaction, or answers what was settled before. Throws
 * `ServiceError` (`INVALID_ARGUMENT`) if the key belongs to another order.
 */
export async function rememberOrder(
  { queries, now }: Transaction,
  order: { readonly key: string; readonly caller: Caller },
  digest: Uint8Array,
  fresh: Begun,
): Promise<Remembered> {
  const inserted = await queries
    .insertInto('idempotency')
    .values({
      caller: order.caller.name,
      key: order.key,
      request_digest: digest,
      outcome: JSON.stringify(toStored(fresh)),
      expires_at: Math.max(now + KEPT_MS, fresh.expiresAt),
    })
    .onConflict((conflict) => conflict.columns(['caller', 'key']).doNothing())
    .returning('key')
    .executeTakeFirst();
  if (inserted !== undefined) return { ...fresh, again: false };
  const row = await queries
    .selectFrom('idempotency')
    .select(['request_digest', 'outcome'])
    .where('caller', '=', order.caller.name)
    .where('key', '=', order.key)
    .executeTakeFirstOrThrow();
  const stored = storedSchema.safeParse(JSON.parse(row.outcome));
  if (!equal(row.request_digest, digest) || !stored.success) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'idempotency_key_reused',
      'this idempotency_key was used for another request',
    );
  }
  return { ...fromStored(stored.data), again: true };
}

function toStored({ batch, expiresAt, policy, keyId }: Begun): z.input<typeof storedSchema> {
  return { batch: toHex(batch), expiresAt, policy, keyId: toHex(keyId) };
}

function fromStored({ batch, expiresAt, policy, keyId }: z.output<typeof storedSchema>): Begun {
  return { batch: bytesOf(batch), expiresAt, policy, keyId: bytesOf(keyId) };
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

const hexText = z.string().regex(/^([0-9a-f]{2})+$/);
const storedSchema = z.object({
  batch: hexText,
  expiresAt: z.int(),
  policy: z.object({ name: z.string(), version: z.int() }),
  keyId: hexText,
});
/** As other orders of administration. */
const KEPT_MS = 24 * 3_600_000;
