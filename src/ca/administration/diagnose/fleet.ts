import { sql } from 'kysely';
import type { Finding } from '../../../gen/sidekey/v1/administration.ts';
import type { AgentState } from '../../store/schema.ts';
import type { Queries } from '../../store/transaction.ts';
import { readHostReport } from '../../tls-policy/host-reports.ts';
import { counter } from '../status.ts';
import { type CheckName, failure, fine, maxNames, named, warning } from './finding.ts';

/** Who is late, ends soon, waits, or was refused. */
export async function checkFleet(queries: Queries, now: Date): Promise<Finding[]> {
  const at = now.getTime();
  return [
    await checkExpired(queries, at),
    await checkExpiring(queries, at),
    await checkState(queries, 'quarantined', 'agents_quarantined', {
      none: 'no agent is quarantined',
      some: 'quarantined, since two holders of one identity were seen',
      remedy: 'find the copy; then agents release, or agents revoke and enrol anew',
    }),
    await checkState(queries, 'enrolled', 'agents_waiting', {
      none: 'no agent waits for activation',
      some: 'waiting for activation',
      remedy: 'sidekey agents activate',
    }),
    await checkUnheard(queries, at),
    await checkFeed(queries, at),
    await checkBundle(queries, at),
    ...(await checkReports(queries)),
    await checkTokens(queries, at),
  ];
}

async function checkExpired(queries: Queries, now: number): Promise<Finding> {
  const found = await agentsWhere(
    queries,
    sql<boolean>`state in ('enrolled', 'active', 'suspended') and not_after <= ${now}`,
  );
  if (found.total === 0) return fine('agents_expiring', 'no agent has let its certificate expire');
  return failure(
    'agents_expiring',
    `expired: ${named(found.names, found.total)}`,
    'look at the hosts; within the grace of their policy they renew by themselves, later: agents recover, or agents retire',
  );
}

async function checkExpiring(queries: Queries, now: number): Promise<Finding> {
  const found = await agentsWhere(
    queries,
    sql<boolean>`state in ('enrolled', 'active') and not_after > ${now} and exists (
      select 1 from certificate
      where certificate.serial = agent.current_serial and agent.pending_serial is null
        and (certificate.not_after - ${now}) * 10 < certificate.not_after - certificate.not_before)`,
  );
  if (found.total === 0) return fine('agents_expiring', 'every agent renews in time');
  return warning(
    'agents_expiring',
    `in the last tenth of their certificate's life: ${named(found.names, found.total)}`,
    'look at the log of their sidecars: renewal was due long ago',
  );
}

async function checkState(
  queries: Queries,
  state: AgentState,
  check: CheckName,
  texts: { readonly none: string; readonly some: string; readonly remedy: string },
): Promise<Finding> {
  const found = await agentsWhere(queries, sql<boolean>`state = ${state}`);
  if (found.total === 0) return fine(check, texts.none);
  return warning(check, `${texts.some}: ${named(found.names, found.total)}`, texts.remedy);
}

async function checkUnheard(queries: Queries, now: number): Promise<Finding> {
  const found = await agentsWhere(
    queries,
    sql<boolean>`state in ('enrolled', 'active') and not_after > ${now} and last_seen_at < ${now - unheardMs}`,
  );
  if (found.total === 0) return fine('agents_unheard', 'every agent was heard of within an hour');
  return warning(
    'agents_unheard',
    `not heard of for an hour: ${named(found.names, found.total)}`,
    'they do not learn of revocations and hold up rotations; agents retire those that have left',
  );
}

/** A revocation counts once it is acknowledged. */
async function checkFeed(queries: Queries, now: number): Promise<Finding> {
  const { seq } = await queries
    .selectFrom('feed')
    .select(sql<number | null>`max(seq)`.as('seq'))
    .where('at', '<', now - lagMs)
    .executeTakeFirstOrThrow();
  const found = await agentsWhere(
    queries,
    sql<boolean>`state in ('enrolled', 'active') and not_after > ${now}
      and last_seen_at >= ${now - unheardMs} and feed_ack < ${seq ?? 0}`,
  );
  if (found.total === 0) return fine('feed_lag', 'every agent heard of follows the feed');
  return warning(
    'feed_lag',
    `behind by more than a minute: ${named(found.names, found.total)}`,
    'look at the log of their sidecars and of this authority',
  );
}

async function checkBundle(queries: Queries, now: number): Promise<Finding> {
  const newest = await counter(queries, 'bundle');
  const row = await queries
    .selectFrom('bundle')
    .select('created_at')
    .where('seq', '=', newest)
    .executeTakeFirst();
  const settled = row === undefined || row.created_at < now - lagMs ? newest : newest - 1;
  const found = await agentsWhere(
    queries,
    sql<boolean>`state in ('enrolled', 'active') and not_after > ${now}
      and last_seen_at >= ${now - unheardMs} and bundle_ack < ${settled}`,
  );
  if (found.total === 0) return fine('bundle_lag', `agents have trust bundle ${String(settled)}`);
  return warning(
    'bundle_lag',
    `without trust bundle ${String(settled)}: ${named(found.names, found.total)}`,
    'rotation waits for them; look at the log of their sidecars',
  );
}

/** What hosts say of themselves: their clocks, and peers that tried less than the floor. */
async function checkReports(queries: Queries): Promise<Finding[]> {
  const skewed: string[] = [];
  let skewedTotal = 0;
  let attempts = 0n;
  const peers = new Set<string>();
  for (let after: Uint8Array = new Uint8Array(0); ;) {
    const rows = await queries
      .selectFrom('agent')
      .select(['id', 'spiffe_id', 'report', 'last_seen_at'])
      .where('state', 'in', ['enrolled', 'active'])
      .where('report', 'is not', null)
      .where('id', '>', after)
      .orderBy('id')
      .limit(chunk)
      .execute();
    for (const row of rows) {
      const report = readHostReport(row.report);
      // The report is older than the last sign of life, so only a clock ahead shows for sure.
      const ahead = (report?.hostTime?.getTime() ?? 0) - row.last_seen_at;
      if (ahead > skewMs) {
        skewedTotal += 1;
        if (skewed.length < maxNames) skewed.push(row.spiffe_id);
      }
      for (const attempt of (report?.listeners ?? []).flatMap((listener) => listener.attempts)) {
        attempts += attempt.count;
        if (peers.size < maxNames) peers.add(attempt.peer);
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < chunk) break;
    after = last.id;
  }
  return [
    skewedTotal === 0
      ? fine('host_clocks', 'no host has a clock that is ahead')
      : warning(
          'host_clocks',
          `clocks are ahead by more than a minute: ${named(skewed, skewedTotal)}`,
          'run a time service on these hosts',
        ),
    attempts === 0n
      ? fine('tls_attempts', 'nobody tried a TLS version below the floor')
      : warning(
          'tls_attempts',
          `${String(attempts)} handshakes below the floor were refused, of peers such as ${[...peers].join(', ')}`,
          'sidekey tls-policy report; bring these peers up to TLS 1.2',
        ),
  ];
}

/** A token that can be used for long is a way in for whoever finds it. */
async function checkTokens(queries: Queries, now: number): Promise<Finding> {
  const { count } = await queries
    .selectFrom('token')
    .select(sql<number | bigint>`count(*)`.as('count'))
    .where('kind', '!=', 'renew')
    .where('state', '=', 'active')
    .where('expires_at', '>', now + longTokenMs)
    .where(sql<boolean>`uses < cap`)
    .executeTakeFirstOrThrow();
  if (Number(count) === 0) return fine('tokens', 'no unused token is good for more than a week');
  return warning(
    'tokens',
    `${String(count)} unused tokens are good for more than a week`,
    'sidekey token list --state usable; revoke those nobody needs',
  );
}

async function agentsWhere(
  queries: Queries,
  condition: ReturnType<typeof sql<boolean>>,
): Promise<{ readonly names: readonly string[]; readonly total: number }> {
  const { count } = await queries
    .selectFrom('agent')
    .select(sql<number | bigint>`count(*)`.as('count'))
    .where(condition)
    .executeTakeFirstOrThrow();
  if (Number(count) === 0) return { names: [], total: 0 };
  const rows = await queries
    .selectFrom('agent')
    .select('spiffe_id')
    .where(condition)
    .orderBy('spiffe_id')
    .limit(maxNames)
    .execute();
  return { names: rows.map((row) => row.spiffe_id), total: Number(count) };
}

const unheardMs = 3_600_000;
const lagMs = 60_000;
const skewMs = 60_000;
const longTokenMs = 7 * 86_400_000;
const chunk = 1000;
