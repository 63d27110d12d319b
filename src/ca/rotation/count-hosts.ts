import { sql } from 'kysely';
import type { AgentState } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { type GateCount, MAX_LAGGARDS } from './gate-count.ts';
import type { Laggard } from './rotation.ts';

/** Which hosts a gate waits for. */
export interface HostWindow {
  /** Hosts not heard of for longer are not waited for; absent: all that were not written off. */
  readonly seenWithinMs?: number;
}

/** Counts the live hosts that have acknowledged a trust bundle of at least this number. */
export async function countAcknowledgements(
  queries: Queries,
  now: number,
  bundle: number,
  { seenWithinMs }: HostWindow,
): Promise<GateCount> {
  let live = queries.selectFrom('agent').where('state', 'in', liveStates);
  if (seenWithinMs !== undefined) live = live.where('last_seen_at', '>=', now - seenWithinMs);
  const { needed, reached } = await live
    .select((each) => [
      each.fn.countAll<number>().as('needed'),
      each.fn.count<number>(sql`case when bundle_ack >= ${bundle} then 1 end`).as('reached'),
    ])
    .executeTakeFirstOrThrow();
  const behind = await live
    .where('bundle_ack', '<', bundle)
    .select(['id', 'spiffe_id', 'state', 'bundle_ack', 'last_seen_at', 'not_after'])
    .orderBy('spiffe_id')
    .limit(MAX_LAGGARDS)
    .execute();
  return {
    needed: needed,
    reached: reached,
    laggards: behind.map((agent) => ({
      agent: agent.id,
      name: agent.spiffe_id,
      why: `has ${bundleText(agent.bundle_ack)}, not ${String(bundle)}; ${whereabouts(agent, now)}`,
    })),
    laggardsTotal: needed - reached,
    detail: `${String(reached)} of ${String(needed)} hosts have trust bundle ${String(bundle)}`,
  };
}

/**
 * Counts hosts with certificates in use below some CAs: issued or confirmed, not superseded by one
 * that was seen in use, neither expired nor revoked, of a host that was not written off. The enrol-only
 * credentials of bundles count too; what replicas of the authority show is counted by replica.
 */
export async function countDependents(
  queries: Queries,
  now: number,
  issuers: readonly Uint8Array[],
): Promise<GateCount> {
  const below = liveCertificates(queries, now, issuers);
  const { certificates, hosts } = await below
    .select((each) => [
      each.fn.countAll<number>().as('certificates'),
      each.fn.count<number>('certificate.agent').distinct().as('hosts'),
    ])
    .executeTakeFirstOrThrow();
  const { needed } = await queries
    .selectFrom('agent')
    .where('state', 'in', liveStates)
    .select((each) => each.fn.countAll<number>().as('needed'))
    .executeTakeFirstOrThrow();
  // Certificates without a host are counted one by one.
  const { others } = await below
    .where('certificate.agent', 'is', null)
    .select((each) => each.fn.countAll<number>().as('others'))
    .executeTakeFirstOrThrow();
  const missing = hosts + others;
  return {
    needed: needed + others,
    reached: needed + others - missing,
    laggards: await dependents(queries, now, issuers),
    laggardsTotal: missing,
    detail: `${String(certificates)} certificates in use below it`,
  };
}

/** Certificates in use below each of some CAs, by hex id. */
export function liveCertificates(queries: Queries, now: number, issuers: readonly Uint8Array[]) {
  return queries
    .selectFrom('certificate')
    .leftJoin('agent', 'agent.id', 'certificate.agent')
    .where('certificate.issuer', 'in', issuers.length === 0 ? [new Uint8Array(0)] : issuers)
    .where('certificate.state', 'in', ['issued', 'confirmed'])
    .where('certificate.purpose', '<>', 'authority')
    .where('certificate.not_after', '>', now)
    .where((each) =>
      each.or([each('certificate.agent', 'is', null), each('agent.state', 'in', liveStates)]),
    )
    .where((each) =>
      each.not(
        each.exists(
          each
            .selectFrom('revocation')
            .where('revocation.kind', '=', 'certificate')
            .whereRef('revocation.subject', '=', 'certificate.serial')
            .select('revocation.at'),
        ),
      ),
    );
}

/** Of hosts that may still come back: `banned` and `retired` are for good. */
export const liveStates: readonly AgentState[] = ['enrolled', 'active', 'suspended', 'quarantined'];

async function dependents(
  queries: Queries,
  now: number,
  issuers: readonly Uint8Array[],
): Promise<Laggard[]> {
  const rows = await liveCertificates(queries, now, issuers)
    .where('certificate.agent', 'is not', null)
    .select((each) => [
      'agent.id',
      'agent.spiffe_id',
      'agent.state',
      'agent.last_seen_at',
      'agent.not_after',
      'agent.pending_serial',
      each.fn.max('certificate.not_after').as('until'),
    ])
    .groupBy([
      'agent.id',
      'agent.spiffe_id',
      'agent.state',
      'agent.last_seen_at',
      'agent.not_after',
      'agent.pending_serial',
    ])
    .orderBy('agent.spiffe_id')
    .limit(MAX_LAGGARDS)
    .execute();
  return rows.flatMap(
    ({ id, spiffe_id, state, last_seen_at, not_after, pending_serial, until }) => {
      if (id === null || spiffe_id === null || state === null) return [];
      const renewed =
        pending_serial === null ? 'has not renewed' : 'has not used its new certificate';
      const host = { state, last_seen_at: last_seen_at ?? 0, not_after: not_after ?? 0 };
      const ends = `its certificate ends ${new Date(until).toISOString()}`;
      return [
        { agent: id, name: spiffe_id, why: `${renewed}, ${ends}; ${whereabouts(host, now)}` },
      ];
    },
  );
}

function bundleText(acknowledged: number): string {
  return acknowledged === 0
    ? 'acknowledged no trust bundle'
    : `trust bundle ${String(acknowledged)}`;
}

function whereabouts(
  host: { readonly state: AgentState; readonly last_seen_at: number; readonly not_after: number },
  now: number,
): string {
  const seen = `last seen ${duration(now - host.last_seen_at)} ago`;
  const ended = host.not_after <= now ? ', its certificate has ended' : '';
  return host.state === 'active' ? `${seen}${ended}` : `${host.state}, ${seen}${ended}`;
}

/** Two hours and more in the largest unit that says something. */
function duration(ms: number): string {
  const units = [
    [86_400_000, 'days'],
    [3_600_000, 'hours'],
    [60_000, 'minutes'],
  ] as const;
  for (const [length, unit] of units) {
    if (ms >= 2 * length) return `${String(Math.floor(ms / length))} ${unit}`;
  }
  return `${String(Math.max(0, Math.floor(ms / 1000)))} seconds`;
}
