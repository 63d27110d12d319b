import { equal } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext } from '../context.ts';
import type { CaKind } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';

/**
 * Makes sure that a replica signs with what is in charge and not with what it remembers: it may have
 * been paused while another one rotated. To be called within a transaction, before signing: since only
 * one transaction of all replicas writes at a time, what is read here holds until its end.
 *
 * Rejects with `ServiceError` (`UNAVAILABLE`) if the keys in charge cannot be used here.
 */
export async function keepUp(
  context: Pick<AuthorityContext, 'generations' | 'store'> & {
    readonly tokenKeys: Pick<TokenKeys, 'all' | 'refresh'>;
  },
): Promise<void> {
  const { generations, tokenKeys, store } = context;
  const charge = await readCharge(store.queries);
  const isCurrent = () =>
    kinds.every((kind) => {
      const id = charge.get(kind);
      const known = generations
        .all()
        .find((each) => each.kind === kind && each.state === 'signing');
      return id !== undefined && known !== undefined && equal(known.id, id);
    }) && isSame(tokenKeys.all().find(({ state }) => state === 'signing')?.id, charge.get('token'));
  if (isCurrent()) return;
  await Promise.all([generations.refresh(), tokenKeys.refresh()]);
  if (isCurrent()) return;
  const message = 'the keys in charge are being changed';
  throw new ServiceError('UNAVAILABLE', 'keys_changing', message, { retryAfterMs: 1000 });
}

/** Ids of what signs, by kind. */
async function readCharge(queries: Queries): Promise<ReadonlyMap<CaKind | 'token', Uint8Array>> {
  const [generations, key] = await Promise.all([
    queries
      .selectFrom('ca_generation')
      .select(['kind', 'id'])
      .where('state', '=', 'signing')
      .execute(),
    queries.selectFrom('token_key').select('id').where('state', '=', 'signing').executeTakeFirst(),
  ]);
  const charge = new Map<CaKind | 'token', Uint8Array>(
    generations.map(({ kind, id }) => [kind, id]),
  );
  if (key !== undefined) charge.set('token', key.id);
  return charge;
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && equal(a, b);
}

const kinds: readonly CaKind[] = ['issuing', 'enrolment'];
