import { createHash, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Workload } from '../../../offload/index.ts';
import type { z } from 'zod';
import type { configurationOrder } from '../../fleet/admin-api/messages.ts';
import { agentConfiguration } from '../../fleet/agent-api/configuration.ts';
import { ConfigurationSealError, sealConfiguration } from '../../fleet/configuration/index.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { describeIssues } from '../../fleet/http/json-body.ts';
import type { AgentConnection } from '../connections/agent-connection.ts';
import { type AgentRecord, isActive } from '../fleet/agent-record.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { Limiter } from '../limiter.ts';
import { AgentRefusal } from '../requests/failure.ts';
import type { ManagerStore } from '../store/manager-store.ts';
import { once } from './idempotency.ts';
import { patiently } from './patiently.ts';
import { recipientOf } from './recipient.ts';
import { selectAgents } from './select-agents.ts';
import { addJob, endIfDone, type TargetResult, writeTarget } from './target-store.ts';

export interface ConfigurationPushOptions {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  readonly workload: Workload;
  readonly identity: string | undefined;
  readonly now: () => Date;
  readonly random: () => number;
  readonly log: Logger;
  readonly atOnce: number;
  /** An agent took its configuration. */
  readonly onApplied: (record: AgentRecord) => void;
}

/**
 * Brings agents to the configuration that is desired of them: the newest only, sealed for each when it is pushed, and
 * again at each new connection until the agent says that it runs.
 */
export class ConfigurationPush {
  readonly #options: ConfigurationPushOptions;
  readonly #limiter: Limiter;
  readonly #pushing = new Set<AgentRecord>();
  /** Of whom it is not written down yet that they run what is desired. */
  readonly #unsettled = new WeakSet<AgentRecord>();
  /** Over which connection an agent refused which version: asked again only over another. */
  readonly #refused = new WeakMap<
    AgentRecord,
    { readonly version: number; readonly over: object }
  >();

  constructor(options: ConfigurationPushOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.atOnce);
  }

  /** Goes on with what was under way when the manager ended: agents may have done it meanwhile. */
  async resumeAll(): Promise<void> {
    const { store, fleet } = this.#options;
    const rows = await store.reads
      .selectFrom('job_target')
      .innerJoin('job', 'job.no', 'job_target.job')
      .select(['job_target.agent', 'job.subject'])
      .where('job.kind', '=', 'configuration')
      .where('job_target.state', '<>', 'succeeded')
      .execute();
    for (const { agent, subject } of rows) {
      const record = fleet.byNo(agent);
      if (record?.row.desired_version === Number(subject)) this.#unsettled.add(record);
    }
  }

  /**
   * Makes a configuration the desired one of all that are selected; answers the id of its job. Rejects with `BodyError`
   * for content no agent would take, with `ConflictError` or `KeyReusedError`.
   */
  async order(
    { selection, content, lifetimeSeconds }: z.output<typeof configurationOrder>,
    actor: string,
    key: string | undefined,
  ): Promise<string> {
    const { store, fleet } = this.#options;
    const parsed = agentConfiguration.safeParse(content);
    if (!parsed.success) {
      throw new BodyError('malformed_request', describeIssues(parsed.error.issues));
    }
    const text = JSON.stringify(parsed.data);
    const hash = createHash('sha256').update(text).digest('hex');
    let ordered: { records: readonly AgentRecord[]; patch: DesiredPatch } | undefined;
    const request = { selection, content: parsed.data, lifetimeSeconds };
    const job = await store.transact(async (transaction) =>
      once(transaction, { actor, key, request }, async () => {
        const { queries, now } = transaction;
        const records = selectAgents(fleet, selection);
        const known = records.map(({ heartbeat }) => heartbeat?.configuration.version ?? 0);
        const next = await transaction.next('configuration');
        // A store that was restored may have gone back: agents take only what is newer.
        const version = Math.max(next, ...known.map((one) => one + 1));
        if (version > next) {
          await queries
            .updateTable('counter')
            .set({ value: version })
            .where('name', '=', 'configuration')
            .execute();
        }
        const made = { version, content: text, hash, made_at: now, made_by: actor };
        await queries.insertInto('configuration').values(made).execute();
        const patch: DesiredPatch = {
          desired_version: version,
          desired_hash: hash,
          desired_until: now + lifetimeSeconds * 1000,
        };
        const numbers = records.map(({ no }) => no);
        for (let at = 0; at < numbers.length; at += rowsPerStatement) {
          await queries
            .updateTable('agent')
            .set(patch)
            .where('no', 'in', numbers.slice(at, at + rowsPerStatement))
            .execute();
        }
        await queries
          .deleteFrom('configuration')
          .where('version', '<', version)
          .where('version', 'not in', (inner) =>
            inner.selectFrom('agent').select('desired_version').distinct(),
          )
          .execute();
        const added = await addJob(
          transaction,
          {
            id: randomUUID(),
            kind: 'configuration',
            subject: String(version),
            arguments: '{}',
            concurrency: this.#options.atOnce,
            deadline_ms: lifetimeSeconds * 1000,
            started_by: actor,
          },
          numbers,
        );
        const details = { version, hash, agents: records.length };
        await transaction.audit({
          actor,
          action: 'configuration_ordered',
          subject: added.id,
          details,
        });
        ordered = { records, patch };
        return added.id;
      }),
    );
    for (const record of ordered?.records ?? []) {
      fleet.applied(record, ordered?.patch ?? {});
      this.#unsettled.add(record);
      this.consider(record);
    }
    return job;
  }

  /** Pushes to an agent that does not run what is desired of it; writes down that it does if it says so. */
  consider(record: AgentRecord): void {
    if (this.#pushing.has(record) || !isActive(record) || record.row.desired_version === 0) return;
    if (isEffective(record)) {
      if (this.#unsettled.has(record)) {
        void this.#report(record, record.row.desired_version, { state: 'succeeded' });
      }
      return;
    }
    const { connection } = record;
    const refused = this.#refused.get(record);
    const refusedHere =
      refused?.version === record.row.desired_version && refused.over === connection;
    if (refusedHere || record.row.desired_until < this.#options.now().getTime()) return;
    this.#pushing.add(record);
    void this.#limiter
      .run(() => this.#push(record))
      .then((pushed) => {
        this.#pushing.delete(record);
        // Another may have been ordered meanwhile; whatever else was in the way is left to the next heartbeat.
        if (record.row.desired_version !== pushed) this.consider(record);
      });
  }

  /** Never rejects. Answers the version it was about. */
  async #push(record: AgentRecord): Promise<number> {
    const { log, onApplied } = this.#options;
    const { desired_version: version, id: agent } = record.row;
    const { connection } = record;
    try {
      if (connection === undefined) {
        await this.#report(record, version, { state: 'unreachable' });
        return version;
      }
      const sealed = await this.#seal(record, version, connection);
      const { configuration } = await connection.client.configure(sealed);
      if (record.heartbeat !== undefined) record.heartbeat = { ...record.heartbeat, configuration };
      await this.#report(record, version, { state: 'succeeded' });
      onApplied(record);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isRefusal = error instanceof AgentRefusal;
      const lasting = isRefusal ? !error.isTransient : error instanceof ConfigurationSealError;
      if (lasting && connection !== undefined) {
        this.#refused.set(record, { version, over: connection });
      }
      log.warn({ agent, version }, `configuration was not taken: ${why}`);
      await this.#report(record, version, {
        state: isRefusal ? 'failed' : 'unreachable',
        output: isRefusal ? `${error.code}: ${why}` : why,
      });
    }
    return version;
  }

  async #seal(
    record: AgentRecord,
    version: number,
    { client }: AgentConnection,
  ): Promise<Uint8Array> {
    const { store, workload, identity, random } = this.#options;
    const found = await store.reads
      .selectFrom('configuration')
      .select('content')
      .where('version', '=', version)
      .executeTakeFirst();
    if (found === undefined) throw new Error('the configuration is not in the store any more');
    const recipientCertificate = await recipientOf(record, client, (signer) =>
      patiently(() => workload.verifySigner({ ...signer, identity }), random),
    );
    return await sealConfiguration({
      content: Buffer.from(found.content),
      agentId: record.row.id,
      version,
      notAfter: new Date(record.row.desired_until),
      recipientCertificate,
      workload,
      ...(identity === undefined ? {} : { identity }),
      now: this.#options.now(),
    });
  }

  async #report(record: AgentRecord, version: number, result: TargetResult): Promise<void> {
    const { store, log } = this.#options;
    if (result.state === 'succeeded' && record.row.desired_version === version) {
      this.#unsettled.delete(record);
    }
    try {
      await store.together(async (transaction) => {
        const job = await transaction.queries
          .selectFrom('job')
          .select('no')
          .where('kind', '=', 'configuration')
          .where('subject', '=', String(version))
          .executeTakeFirst();
        if (job === undefined) return;
        await writeTarget(transaction, job.no, record.no, result);
        await endIfDone(transaction, job.no);
      });
    } catch (error) {
      log.error({ err: error, agent: record.row.id }, 'an outcome could not be written down');
    }
  }
}

type DesiredPatch = Pick<AgentRecord['row'], 'desired_version' | 'desired_hash' | 'desired_until'>;

/** Whether the agent says that it runs what is desired. */
export function isEffective({ row, heartbeat }: AgentRecord): boolean {
  const configuration = heartbeat?.configuration;
  return configuration?.version === row.desired_version && configuration.hash === row.desired_hash;
}

const rowsPerStatement = 500;
