import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { operationOrder } from '../../fleet/admin-api/messages.ts';
import type { Operation } from '../../fleet/agent-api/messages.ts';
import { type AgentRecord, isActive } from '../fleet/agent-record.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { Limiter } from '../limiter.ts';
import { AgentRefusal } from '../requests/failure.ts';
import { Schedule } from '../schedule.ts';
import type { ManagerStore } from '../store/manager-store.ts';
import type { Row } from '../store/schema.ts';
import { once } from './idempotency.ts';
import { selectAgents } from './select-agents.ts';
import { addJob, endIfDone, type TargetResult, writeTarget } from './target-store.ts';

export interface OperationJobsOptions {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  readonly log: Logger;
  /** Of all jobs together. */
  readonly atOnce: number;
}

/**
 * Runs operations on many agents. What is to be done is durable before it begins, and the key under which an agent
 * does it once follows from it: after a restart it goes on, and nothing runs twice.
 */
export class OperationJobs {
  readonly #options: OperationJobsOptions;
  readonly #limiter: Limiter;
  readonly #retries: Schedule<Target>;
  #closed = false;

  constructor(options: OperationJobsOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.atOnce);
    this.#retries = new Schedule((target) => {
      this.#begin(target);
    });
  }

  /** Goes on with what was under way when the manager ended. */
  async resumeAll(): Promise<void> {
    const jobs = await this.#options.store.reads
      .selectFrom('job')
      .selectAll()
      .where('kind', '=', 'operation')
      .where('ended_at', 'is', null)
      .execute();
    for (const job of jobs) await this.#run(job);
  }

  /** Answers the id of the job, which is durable and runs. Rejects with `ConflictError` or `KeyReusedError`. */
  async start(
    order: z.output<typeof operationOrder>,
    actor: string,
    key: string | undefined,
  ): Promise<string> {
    const { store, fleet } = this.#options;
    let added: Row<'job'> | undefined;
    const id = await store.transact(async (transaction) =>
      once(transaction, { actor, key, request: order }, async () => {
        const agents = selectAgents(fleet, order.selection);
        added = await addJob(
          transaction,
          {
            id: randomUUID(),
            kind: 'operation',
            subject: order.operation,
            arguments: JSON.stringify(order.arguments),
            concurrency: order.concurrency,
            deadline_ms: order.deadlineSeconds * 1000,
            started_by: actor,
          },
          agents.map(({ no }) => no),
        );
        const details = { operation: order.operation, agents: agents.length };
        await transaction.audit({ actor, action: 'job_started', subject: added.id, details });
        return added.id;
      }),
    );
    if (added !== undefined) await this.#run(added);
    return id;
  }

  /** Has everything tried again that did not succeed. What had failed at the agent gets another key. */
  async resume(job: Row<'job'>, actor: string): Promise<void> {
    await this.#options.store.transact(async (transaction) => {
      const { queries } = transaction;
      await queries
        .updateTable('job_target')
        .set((target) => ({ attempt: target('attempt', '+', 1), state: 'waiting' as const }))
        .where('job', '=', job.no)
        .where('state', 'in', ['failed', 'interrupted'])
        .execute();
      await queries
        .updateTable('job_target')
        .set({ state: 'waiting' })
        .where('job', '=', job.no)
        .where('state', '=', 'unreachable')
        .execute();
      await queries.updateTable('job').set({ ended_at: null }).where('no', '=', job.no).execute();
      await transaction.audit({ actor, action: 'job_resumed', subject: job.id });
    });
    await this.#run(job);
  }

  close(): void {
    this.#closed = true;
    this.#retries.close();
  }

  async #run(job: Row<'job'>): Promise<void> {
    const { store, fleet } = this.#options;
    const rows = await store.reads
      .selectFrom('job_target')
      .select(['agent', 'attempt'])
      .where('job', '=', job.no)
      .where('state', 'in', ['waiting', 'running'])
      .execute();
    if (rows.length === 0) {
      await store.transact((transaction) => endIfDone(transaction, job.no));
      return;
    }
    const own = new Limiter(job.concurrency);
    const until = performance.now() + job.deadline_ms;
    const parsed = JSON.parse(job.arguments) as Record<string, string>;
    const shared = { job, args: parsed, own, until, left: { count: rows.length } };
    for (const { agent, attempt } of rows) {
      const record = fleet.byNo(agent);
      if (record !== undefined) this.#begin({ ...shared, record, attempt, tries: { count: 0 } });
    }
  }

  #begin(target: Target): void {
    const work = (): Promise<void> =>
      target.own.run(() => this.#limiter.run(() => this.#try(target)));
    work().catch((error: unknown) => {
      this.#options.log.error({ err: error, job: target.job.id }, 'a job cannot go on');
    });
  }

  async #try(target: Target): Promise<void> {
    if (this.#closed) return;
    const result = await this.#attempt(target);
    if (result !== undefined) {
      await this.#finish(target, result);
      return;
    }
    if (performance.now() > target.until) {
      await this.#finish(target, { state: 'unreachable' });
      return;
    }
    // Its place is free meanwhile for agents that are there.
    target.tries.count += 1;
    this.#retries.set(target, Math.min(10_000, 500 * 2 ** target.tries.count));
  }

  /** `undefined`: nobody answered, but may yet. */
  async #attempt({ record, job, args, attempt, until }: Target): Promise<TargetResult | undefined> {
    if (!isActive(record)) return { state: 'unreachable', output: `agent is ${record.row.state}` };
    const { connection } = record;
    if (connection === undefined) return undefined;
    try {
      const key = targetKey(job.id, record.no, attempt);
      let operation = await connection.client.operate(job.subject, args, key);
      for (
        let pauseMs = 100;
        operation.state === 'running';
        pauseMs = Math.min(2000, pauseMs * 2)
      ) {
        if (performance.now() > until) return { state: 'unreachable', output: 'still running' };
        await delay(pauseMs, undefined, { ref: false });
        operation = await connection.client.operation(operation.id);
      }
      return resultOf(operation);
    } catch (error) {
      if (!(error instanceof AgentRefusal)) return undefined;
      if (error.isTransient) return undefined;
      return { state: 'failed', output: `${error.code}: ${error.message}` };
    }
  }

  async #finish({ job, record, left }: Target, result: TargetResult): Promise<void> {
    await this.#options.store.together(async (transaction) => {
      await writeTarget(transaction, job.no, record.no, result);
    });
    left.count -= 1;
    if (left.count > 0) return;
    await this.#options.store.transact((transaction) => endIfDone(transaction, job.no));
    this.#options.log.info({ job: job.id, operation: job.subject }, 'job ended');
  }
}

interface Target {
  readonly job: Row<'job'>;
  readonly record: AgentRecord;
  readonly args: Readonly<Record<string, string>>;
  readonly attempt: number;
  readonly own: Limiter;
  readonly until: number;
  readonly left: { count: number };
  readonly tries: { count: number };
}

function resultOf({ state, exitCode, output }: Operation): TargetResult {
  return { state, exitCode, output };
}

/** The same for the same target and attempt, whoever asks and when: a UUID made of their hash. */
function targetKey(job: string, agent: number, attempt: number): string {
  const digest = createHash('sha256')
    .update(`${job}/${String(agent)}/${String(attempt)}`)
    .digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([from, to]) => hex.slice(from, to))
    .join('-');
}
