import type { Queries, Transaction } from '../store/manager-store.ts';
import type { Row } from '../store/schema.ts';
import { storableText } from '../store/storable-text.ts';

export type TargetState = Row<'job_target'>['state'];

/** What became of one agent in a job. */
export interface TargetResult {
  readonly state: TargetState;
  readonly exitCode?: number | undefined;
  readonly output?: string;
}

/** Writes down how far one agent is; the job has ended when nothing in it is under way. */
export async function writeTarget(
  { queries }: Transaction,
  job: number,
  agent: number,
  { state, exitCode, output = '' }: TargetResult,
): Promise<void> {
  await queries
    .updateTable('job_target')
    .set({ state, exit_code: exitCode ?? null, output: storableText(output.slice(-maxOutput)) })
    .where('job', '=', job)
    .where('agent', '=', agent)
    .execute();
}

/** Ends a job in which nothing is under way any more. */
export async function endIfDone({ queries, now }: Transaction, job: number): Promise<void> {
  await queries
    .updateTable('job')
    .set({ ended_at: now })
    .where('no', '=', job)
    .where('ended_at', 'is', null)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('job_target')
            .select('job_target.agent')
            .where('job_target.job', '=', job)
            .where('job_target.state', 'in', ['waiting', 'running']),
        ),
      ),
    )
    .execute();
}

/** Adds a job with its targets, and forgets the oldest beyond what is kept. */
export async function addJob(
  transaction: Transaction,
  job: Omit<Row<'job'>, 'no' | 'started_at' | 'ended_at'>,
  agents: readonly number[],
  state: TargetState = 'waiting',
): Promise<Row<'job'>> {
  const { queries, now } = transaction;
  const no = await transaction.next('job');
  const row = { ...job, no, started_at: now, ended_at: agents.length === 0 ? now : null };
  await queries.insertInto('job').values(row).execute();
  for (let at = 0; at < agents.length; at += rowsPerStatement) {
    const values = agents
      .slice(at, at + rowsPerStatement)
      .map((agent) => ({ job: no, agent, state, exit_code: null, output: '', attempt: 0 }));
    await queries.insertInto('job_target').values(values).execute();
  }
  await queries
    .deleteFrom('job')
    .where('no', '<=', no - maxJobs)
    .where('ended_at', 'is not', null)
    .execute();
  return row;
}

/** How many targets are in each state. */
export async function countTargets(
  queries: Queries,
  job: number,
): Promise<Partial<Record<TargetState, number>>> {
  const rows = await queries
    .selectFrom('job_target')
    .select(['state', (expression) => expression.fn.countAll<number | bigint>().as('count')])
    .where('job', '=', job)
    .groupBy('state')
    .execute();
  return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]));
}

const rowsPerStatement = 500;
const maxOutput = 65_536;
const maxJobs = 1000;
