import type { z } from 'zod';
import type {
  auditPage,
  history,
  Job,
  jobTargets,
  pageQuery,
  storedEvents,
  targetsQuery,
} from '../../fleet/admin-api/messages.ts';
import { type AgentEvent, eventKinds } from '../../fleet/agent-api/messages.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import { countTargets } from '../jobs/target-store.ts';
import type { Queries } from '../store/manager-store.ts';
import type { Row } from '../store/schema.ts';

type Page = z.output<typeof pageQuery>;

/** What was pulled of an agent, oldest first. */
export async function storedEventsOf(
  reads: Queries,
  { no, row }: AgentRecord,
  { after, limit }: Page,
): Promise<z.output<typeof storedEvents>> {
  const rows = await reads
    .selectFrom('event')
    .selectAll()
    .where('agent', '=', no)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute();
  const events = rows.map(({ seq, at, kind, message, facts }) => ({
    seq,
    at: moment(at),
    // Written by a later version, perhaps.
    kind: eventKinds.find((known) => known === kind) ?? ('problem' as const),
    message,
    facts: JSON.parse(facts) as AgentEvent['facts'],
  }));
  return { events, head: row.events_stored };
}

/** Heartbeats of an agent, oldest first. */
export async function historyOf(reads: Queries, agent: number): Promise<z.output<typeof history>> {
  const rows = await reads
    .selectFrom('heartbeat')
    .selectAll()
    .where('agent', '=', agent)
    .orderBy('at')
    .limit(2000)
    .execute();
  const beats = rows.map((row) => ({
    at: moment(row.at),
    outcome: row.outcome,
    ...(row.round_trip_us === null ? {} : { roundTripMs: row.round_trip_us / 1000 }),
    ...(row.clock_offset_ms === null ? {} : { clockOffsetMs: row.clock_offset_ms }),
  }));
  return { beats };
}

/** A job, and how far it is. */
export async function describeJob(reads: Queries, row: Row<'job'>): Promise<Job> {
  const counts = await countTargets(reads, row.no);
  return {
    id: row.id,
    kind: row.kind,
    subject: row.subject,
    startedAt: moment(row.started_at),
    ...(row.ended_at === null ? {} : { endedAt: moment(row.ended_at) }),
    by: row.started_by,
    total: Object.values(counts).reduce((sum, count) => sum + count, 0),
    counts: { ...noTargets, ...counts },
  };
}

export async function targetsOf(
  reads: Queries,
  job: number,
  { after, limit }: z.output<typeof targetsQuery>,
): Promise<z.output<typeof jobTargets>> {
  const rows = await reads
    .selectFrom('job_target')
    .innerJoin('agent', 'agent.no', 'job_target.agent')
    .select(['agent.id', 'job_target.state', 'job_target.exit_code', 'job_target.output'])
    .where('job_target.job', '=', job)
    .$if(after !== undefined, (query) => query.where('agent.id', '>', after ?? ''))
    .orderBy('agent.id')
    .limit(limit)
    .execute();
  const targets = rows.map(({ id, state, exit_code: exitCode, output }) => ({
    agent: id,
    state,
    ...(exitCode === null ? {} : { exitCode }),
    output,
  }));
  const next = rows.length < limit ? undefined : targets.at(-1)?.agent;
  return { targets, ...(next === undefined ? {} : { next }) };
}

/** What administrators did, newest first: what comes after an entry is older. */
export async function auditEntries(
  reads: Queries,
  { after, limit }: Page,
): Promise<z.output<typeof auditPage>> {
  const rows = await reads
    .selectFrom('audit')
    .selectAll()
    .$if(after > 0, (query) => query.where('seq', '<', after))
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute();
  return { entries: rows.map((row) => ({ ...row, at: moment(row.at) })) };
}

function moment(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

const noTargets = {
  waiting: 0,
  running: 0,
  succeeded: 0,
  failed: 0,
  interrupted: 0,
  unreachable: 0,
} satisfies Job['counts'];
