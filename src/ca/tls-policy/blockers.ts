import type { TlsPolicyBlocker } from '../../gen/sidekey/v1/administration.ts';
import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import type { Queries } from '../store/transaction.ts';
import { readHostReport } from './host-reports.ts';
import { defaultTlsFloor, reaches, type TlsFloor } from './versions.ts';

/** Who a floor would cut off. */
export interface Blockers {
  /** Some of them. */
  readonly first: readonly TlsPolicyBlocker[];
  readonly total: number;
}

/**
 * Counts who cannot do what a floor asks, by what components said of themselves: a listener that
 * speaks nothing so new, or a host that has not said what it speaks.
 *
 * @param listener only listeners of this name; empty: all
 * @param own listeners of this process
 */
export async function findBlockers(
  queries: Queries,
  floor: TlsFloor,
  listener: string,
  own: readonly ListenerReport[],
): Promise<Blockers> {
  // Nothing speaks less (RFC 8996), so going back to it cuts nobody off.
  if (floor === defaultTlsFloor) return { first: [], total: 0 };
  const first: TlsPolicyBlocker[] = [];
  let total = 0;
  const add = (blocker: TlsPolicyBlocker): void => {
    total += 1;
    if (first.length < maxShown) first.push(blocker);
  };
  for (const blocker of blockersOf('authority', own, floor, listener)) add(blocker);
  for (let after: Uint8Array = new Uint8Array(0); ;) {
    const rows = await queries
      .selectFrom('agent')
      .select(['id', 'spiffe_id', 'report'])
      .where('state', 'not in', ['banned', 'retired'])
      .where('id', '>', after)
      .orderBy('id')
      .limit(chunk)
      .execute();
    for (const row of rows) {
      const report = readHostReport(row.report);
      if (report === undefined) {
        add({ component: row.spiffe_id, listener: '', why: 'has not reported what it speaks' });
        continue;
      }
      const found = blockersOf(row.spiffe_id, report.listeners, floor, listener);
      for (const blocker of found) add(blocker);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < chunk) return { first, total };
    after = last.id;
  }
}

function blockersOf(
  component: string,
  listeners: readonly ListenerReport[],
  floor: TlsFloor,
  name: string,
): readonly TlsPolicyBlocker[] {
  return listeners
    .filter((listener) => name === '' || listener.name === name)
    .filter(({ minVersion, maxVersion }) => minVersion !== '' && !reaches(maxVersion, floor))
    .map((listener) => ({
      component,
      listener: listener.name,
      why: `speaks nothing newer than ${listener.maxVersion === '' ? 'it says' : listener.maxVersion}`,
    }));
}

const maxShown = 100;
const chunk = 1000;
