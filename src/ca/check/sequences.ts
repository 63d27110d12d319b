import { sql } from 'kysely';
import { restoreAction } from '../store/restore.ts';
import type { Queries } from '../store/transaction.ts';
import type { Rule, Violation } from './rule.ts';

/** I15: sequences only grow. */
export const sequenceRules: readonly Rule[] = [
  {
    invariant: 'I15',
    problem: 'the feed has a gap, or is not as long as was counted',
    query: sql`
      select 'feed' as subject from (
        select min(seq) as first, max(seq) as last, count(*) as entries from feed
      ) f
      where coalesce(f.last, 0) <> (select value from counter where name = 'feed')
        or coalesce(f.last - f.first + 1, 0) <> f.entries`,
  },
  {
    invariant: 'I15',
    problem: 'the audit log is not as long as was counted',
    query: sql`
      select 'audit' as subject from (select max(seq) as last, count(*) as entries from audit) a
      where coalesce(a.last, 0) <> a.entries
        or a.entries <> (select value from counter where name = 'audit')`,
  },
  {
    invariant: 'I15',
    problem: 'the audit entry is older than the one before it',
    query: sql`
      select a.seq as subject from audit a
      join audit p on p.seq = a.seq - 1 where a.at < p.at`,
  },
  {
    invariant: 'I15',
    problem: 'the CRL is older than one with a lower number, or covers less',
    query: sql`
      select c.number as subject from crl c
      join crl p on p.issuer = c.issuer and p.number < c.number
      where c.this_update < p.this_update or c.feed_seq < p.feed_seq`,
  },
  {
    invariant: 'I15',
    problem: 'the agent acknowledged what was never published',
    query: sql`
      select a.id as subject from agent a
      where a.bundle_ack > (select value from counter where name = 'bundle')
        or a.feed_ack > (select value from counter where name = 'feed')`,
  },
];

/** I15: versions of the trust bundle have no gaps, but where a restore left room. */
export async function checkBundles(queries: Queries): Promise<readonly Violation[]> {
  const rows = await queries.selectFrom('bundle').select('seq').orderBy('seq').execute();
  const counter = await queries
    .selectFrom('counter')
    .select('value')
    .where('name', '=', 'bundle')
    .executeTakeFirst();
  const skipped = await skippedBundles(queries);
  const violations: Violation[] = [];
  let expected = 1;
  for (const seq of [...rows.map((row) => row.seq), (counter?.value ?? 0) + 1]) {
    for (let to = skipped.get(expected - 1); to !== undefined; to = skipped.get(expected - 1)) {
      expected = to + 1;
    }
    if (seq !== expected) {
      const problem = `trust bundle ${String(expected)} is missing`;
      violations.push({ invariant: 'I15', subject: 'bundle', problem });
    }
    expected = seq + 1;
  }
  return violations;
}

/** From the last number before each restore to the last one left out by it. */
async function skippedBundles(queries: Queries): Promise<ReadonlyMap<number, number>> {
  const restores = await queries
    .selectFrom('audit')
    .select('details')
    .where('action', '=', restoreAction)
    .execute();
  const skipped = new Map<number, number>();
  for (const { details } of restores) {
    for (const [, from, count] of details.matchAll(/"bundle:(\d+)\+(\d+)"/g)) {
      skipped.set(Number(from), Number(from) + Number(count));
    }
  }
  return skipped;
}
