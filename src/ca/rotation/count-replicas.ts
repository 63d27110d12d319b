import { toHex } from '../../bytes/bytes.ts';
import type { Queries } from '../store/transaction.ts';
import { type GateCount, MAX_LAGGARDS } from './gate-count.ts';

/** Which replicas a gate waits for. */
export interface ReplicaWindow {
  /** One whose last sign of life is older takes no part: it reads everything anew before it signs. */
  readonly staleAfterMs: number;
}

/** Counts the live replicas that have signed something on trial with each of some keys. */
export async function countKeyHolders(
  queries: Queries,
  now: number,
  keys: readonly Uint8Array[],
  window: ReplicaWindow,
): Promise<GateCount> {
  const wanted = keys.map(toHex);
  return tally(await liveReplicas(queries, now, window), 'can use the key', ({ usable_keys }) => {
    const usable = parseUsableKeys(usable_keys);
    return wanted.every((key) => usable.includes(key)) ? undefined : 'cannot use the key yet';
  });
}

/** Counts the live replicas that sign with the issuing CA of a number. */
export async function countMoved(
  queries: Queries,
  now: number,
  issuing: number,
  window: ReplicaWindow,
): Promise<GateCount> {
  const name = `issuing ${String(issuing)}`;
  return tally(await liveReplicas(queries, now, window), `use ${name}`, (replica) =>
    replica.issuing_generation === issuing
      ? undefined
      : `still uses issuing ${String(replica.issuing_generation)}, not ${name}`,
  );
}

/** Ids in the column `usable_keys`; whatever else stands there is no key. */
export function parseUsableKeys(text: string): readonly string[] {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

interface LiveReplica {
  readonly id: string;
  readonly usable_keys: string;
  readonly issuing_generation: number;
}

async function liveReplicas(
  queries: Queries,
  now: number,
  { staleAfterMs }: ReplicaWindow,
): Promise<readonly LiveReplica[]> {
  return await queries
    .selectFrom('replica')
    .where('heartbeat_at', '>=', now - staleAfterMs)
    .select(['id', 'usable_keys', 'issuing_generation'])
    .orderBy('id')
    .execute();
}

function tally(
  replicas: readonly LiveReplica[],
  what: string,
  missing: (replica: LiveReplica) => string | undefined,
): GateCount {
  const laggards = replicas.flatMap((replica) => {
    const why = missing(replica);
    return why === undefined ? [] : [{ agent: new Uint8Array(0), name: replica.id, why }];
  });
  const reached = replicas.length - laggards.length;
  return {
    needed: replicas.length,
    reached,
    laggards: laggards.slice(0, MAX_LAGGARDS),
    laggardsTotal: laggards.length,
    detail: `${String(reached)} of ${String(replicas.length)} replicas ${what}`,
  };
}
