import type { z } from 'zod';
import type {
  AgentDetail,
  agentsQuery,
  configurationOrder,
  Job,
  modeChange,
  operationOrder,
  pageQuery,
  Registration,
  targetsQuery,
} from '../../fleet/admin-api/messages.ts';
import {
  type Administration,
  AdministrationError,
  type AgentChange,
  type Order,
} from '../admin/index.ts';
import { type AgentRecord, isActive } from '../fleet/agent-record.ts';
import { ConflictError } from '../fleet/conflict-error.ts';
import { detailOf } from '../fleet/summary.ts';
import type { ManagerParts } from '../manager-parts.ts';
import type { AgentClient } from '../requests/agent-client.ts';
import type { Row } from '../store/schema.ts';
import { listAgents } from './list-agents.ts';
import { refusing } from './refusals.ts';
import { auditEntries, describeJob, historyOf, storedEventsOf, targetsOf } from './stored.ts';

/** Carries out what administrators ask of a manager. Every change is durable, with who made it, before it is answered. */
export function createAdministration(parts: ManagerParts): Administration {
  const { fleet, store, now, operations, configurations } = parts;
  const find = (id: string): AgentRecord => {
    const record = fleet.byId(id);
    if (record === undefined) throw new AdministrationError('not_found', `there is no agent ${id}`);
    return record;
  };
  const detail = (record: AgentRecord): AgentDetail => detailOf(record, now().getTime());
  const describe = async (id: string): Promise<Job> => describeJob(store.reads, await findJob(id));
  const findJob = async (id: string): Promise<Row<'job'>> => {
    const query = store.reads.selectFrom('job').selectAll().where('id', '=', id);
    const found = await query.executeTakeFirst();
    if (found === undefined) throw new AdministrationError('not_found', `there is no job ${id}`);
    return found;
  };
  return {
    status: () => refusing(() => parts.status()),
    listAgents: (query: z.output<typeof agentsQuery>) =>
      refusing(() => listAgents(fleet, store.reads, query, now().getTime())),
    register: (registration, order) =>
      refusing(async () => detail(await register(parts, registration, order))),
    showAgent: (id) => refusing(() => detail(find(id))),
    agentStatus: (id) => refusing(() => clientOf(find(id)).status()),
    effectiveConfiguration: (id) => refusing(() => clientOf(find(id)).effective()),
    events: (id, page: z.output<typeof pageQuery>) =>
      refusing(() => storedEventsOf(store.reads, find(id), page)),
    history: (id) =>
      refusing(async () => {
        const { no } = find(id);
        await parts.beats.flush();
        return await historyOf(store.reads, no);
      }),
    activate: (id, bundle, { actor }) =>
      refusing(async () => {
        const record = find(id);
        await parts.changes.activate(record, bundle, actor);
        return detail(record);
      }),
    changeMode: (id, { mode, address }: z.output<typeof modeChange>, { actor }) =>
      refusing(async () => {
        const record = find(id);
        await parts.changes.changeMode(record, mode, address, actor);
        return detail(record);
      }),
    change: (id, change, reason, order) =>
      refusing(async () => {
        const record = find(id);
        const before = detail(record);
        await changeAgent(parts, record, change, reason, order);
        return change === 'forget' ? before : detail(record);
      }),
    configure: (order: z.output<typeof configurationOrder>, { actor, idempotencyKey }) =>
      refusing(async () => describe(await configurations.order(order, actor, idempotencyKey))),
    listJobs: () =>
      refusing(async () => {
        const query = store.reads.selectFrom('job').selectAll().orderBy('no', 'desc').limit(100);
        const rows = await query.execute();
        return { jobs: await Promise.all(rows.map((row) => describeJob(store.reads, row))) };
      }),
    operate: (order: z.output<typeof operationOrder>, { actor, idempotencyKey }) =>
      refusing(async () => describe(await operations.start(order, actor, idempotencyKey))),
    showJob: (id) => refusing(() => describe(id)),
    jobTargets: (id, query: z.output<typeof targetsQuery>) =>
      refusing(async () => targetsOf(store.reads, (await findJob(id)).no, query)),
    resumeJob: (id, { actor }) =>
      refusing(async () => {
        const row = await findJob(id);
        if (row.kind !== 'operation') {
          throw new ConflictError('configurations are pushed again by themselves');
        }
        if (row.ended_at === null) throw new ConflictError('the job is still under way');
        await operations.resume(row, actor);
        return await describe(id);
      }),
    audit: (page: z.output<typeof pageQuery>) => refusing(() => auditEntries(store.reads, page)),
  };
}

/** The same again is answered as the first time. */
async function register(
  { fleet }: ManagerParts,
  { name, address, bootstrapKeyHash, mode, labels }: Registration,
  { actor }: Order,
): Promise<AgentRecord> {
  const known = [...fleet.all()].find(({ row }) => row.bootstrap_key_hash === bootstrapKeyHash);
  if (known !== undefined) {
    if (known.row.name === name && known.row.address === address) return known;
    throw new ConflictError(`that key is registered as ${known.row.name} already`);
  }
  return await fleet.add(
    {
      name,
      state: 'registered',
      mode,
      address,
      bootstrap_key_hash: bootstrapKeyHash,
      labels,
    },
    { actor, action: 'agent_registered', details: { name, address } },
  );
}

async function changeAgent(
  parts: ManagerParts,
  record: AgentRecord,
  change: AgentChange,
  reason: string,
  { actor }: Order,
): Promise<void> {
  switch (change) {
    case 'rotate': {
      const client = clientOf(record);
      const entry = { actor, action: 'agent_rotate', subject: record.row.id, details: { reason } };
      await parts.store.transact((transaction) => transaction.audit(entry));
      await client.rotate();
      return;
    }
    case 'deactivate':
      await parts.changes.deactivate(record, actor, reason);
      return;
    case 'quarantine':
      await parts.changes.quarantine(record, actor, reason);
      return;
    case 'release':
      await parts.changes.release(record, actor, reason);
      return;
    case 'forget':
      await parts.changes.forget(record, actor, reason);
  }
}

/** Throws if the agent cannot be asked now. */
function clientOf(record: AgentRecord): AgentClient {
  const { connection, row } = record;
  if (!isActive(record)) throw new ConflictError(`agent ${row.name} is ${row.state}`);
  if (connection === undefined) {
    throw new AdministrationError('unavailable', `agent ${row.name} is not connected`);
  }
  return connection.client;
}
