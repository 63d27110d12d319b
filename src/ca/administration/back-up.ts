import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { BackUpRequest, BackUpResponse } from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import type { Queries } from '../store/transaction.ts';
import { counter } from './status.ts';

/**
 * Copies the store to a file of this host while it is in use, and writes down that it was done. CA
 * keys are not in it.
 *
 * @throws ServiceError `PERMISSION_DENIED` for anybody but the owner: the file is written with the
 * authority's own rights; `INVALID_ARGUMENT`, `FAILED_PRECONDITION`
 */
export async function backUp(
  { store }: AuthorityContext,
  { path }: BackUpRequest,
  caller: Caller,
): Promise<BackUpResponse> {
  if (caller.source !== 'unix') {
    throw new ServiceError(
      'PERMISSION_DENIED',
      'not_the_owner',
      'a backup is written on the host of the authority, for its owner only',
    );
  }
  if (!isAbsolute(path) || path.length > maxPath || path.includes('\0')) {
    throw new ServiceError('INVALID_ARGUMENT', 'path_invalid', 'path has to be absolute');
  }
  if (store.kind !== 'sqlite') {
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'store_not_sqlite',
      'the store is PostgreSQL: back it up with pg_dump or by archiving its log',
    );
  }
  const auditSequence = await counter(store.queries, 'audit');
  await store.backup(path);
  const { size } = await stat(path);
  const at = await store.transact(async (transaction) => {
    const value = String(transaction.now);
    await transaction.queries
      .insertInto('meta')
      .values({ name: lastBackup, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute();
    transaction.audit({
      actor: caller.name,
      action: 'store.backup',
      subject: path,
      outcome: 'done',
      details: { bytes: size },
    });
    return transaction.now;
  });
  return { bytes: BigInt(size), at: new Date(at), auditSequence: BigInt(auditSequence) };
}

/** When the store was last backed up; `undefined`: never. */
export async function readLastBackup(queries: Queries): Promise<Date | undefined> {
  const row = await queries
    .selectFrom('meta')
    .select('value')
    .where('name', '=', lastBackup)
    .executeTakeFirst();
  return row === undefined ? undefined : new Date(Number(row.value));
}

const lastBackup = 'last_backup_at';
const maxPath = 4096;
