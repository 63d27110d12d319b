import { sql } from 'kysely';
import type { TlsPolicy } from '../../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import type { Blockers } from './blockers.ts';
import { defaultTlsFloor, type TlsFloor } from './versions.ts';

/** The floors in force, as hosts get them; version 0: nobody has set any. */
export async function currentTlsPolicy(queries: Queries): Promise<TlsPolicy> {
  const rows = await queries
    .selectFrom('tls_policy')
    .select(['version', 'listener', 'min_version'])
    .where(
      sql<boolean>`version = (select max(newer.version) from tls_policy newer where newer.listener = tls_policy.listener)`,
    )
    .execute();
  const floors = new Map(rows.map((row) => [row.listener, row.min_version]));
  const everywhere = floors.get('') ?? defaultTlsFloor;
  floors.delete('');
  return {
    version: BigInt(Math.max(0, ...rows.map(({ version }) => version))),
    minVersion: everywhere,
    listeners: Object.fromEntries([...floors].filter(([, version]) => version !== '')),
  };
}

/** A change of the floor, of one listener name or everywhere. */
export interface TlsFloorChange {
  /** Empty: everywhere. */
  readonly listener: string;
  /** Absent: the listener has no floor of its own any more. */
  readonly floor: TlsFloor | undefined;
  /** Why it is set although somebody is cut off; absent: it is not, then. */
  readonly forcedWhy: string | undefined;
  readonly by: Caller;
}

/**
 * Sets a floor and tells the hosts. What was counted to be in the way is written down with it.
 *
 * @param blockers who would be cut off
 * @throws ServiceError `FAILED_PRECONDITION` that names them, unless forced
 */
export async function setTlsFloor(
  transaction: Transaction,
  change: TlsFloorChange,
  blockers: Blockers,
): Promise<void> {
  if (blockers.total > 0 && change.forcedWhy === undefined) throw blocked(blockers);
  const version = await transaction.next('tls_policy');
  await transaction.queries
    .insertInto('tls_policy')
    .values({
      version,
      listener: change.listener,
      min_version: change.floor ?? '',
      at: transaction.now,
      by: change.by.name,
      forced_why: blockers.total > 0 ? (change.forcedWhy ?? null) : null,
    })
    .execute();
  await transaction.publish({
    type: 'tls_policy',
    subject: Buffer.from(change.listener),
    payload: { version },
  });
  transaction.audit({
    actor: change.by.name,
    action: 'tls_policy.set',
    subject: change.listener === '' ? 'everywhere' : change.listener,
    outcome: 'done',
    details: {
      version,
      minVersion: change.floor ?? 'as everywhere',
      ...(blockers.total > 0 ? { forced: change.forcedWhy ?? '', blockers: blockers.total } : {}),
    },
  });
}

function blocked(blockers: Blockers): ServiceError {
  const named = blockers.first
    .slice(0, namedBlockers)
    .map(({ component, listener, why }) =>
      listener === '' ? `${component} ${why}` : `${component} (${listener}) ${why}`,
    );
  const more = blockers.total - named.length;
  return new ServiceError(
    'FAILED_PRECONDITION',
    'tls_floor_blocked',
    `${String(blockers.total)} would be cut off: ${named.join('; ')}` +
      (more > 0 ? `; and ${String(more)} more` : ''),
  );
}

const namedBlockers = 5;
