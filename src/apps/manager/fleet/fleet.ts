import { randomUUID } from 'node:crypto';
import { heartbeat as heartbeatSchema } from '../../fleet/agent-api/messages.ts';
import type { FleetState } from '../../fleet/admin-api/messages.ts';
import type { AuditEntry, ManagerStore, Transaction } from '../store/manager-store.ts';
import type { Row } from '../store/schema.ts';
import type { AgentRecord } from './agent-record.ts';

/** What may change of an agent. */
export type AgentPatch = Partial<Omit<Row<'agent'>, 'no' | 'registered_at'>>;

/** What a new agent needs. */
export type NewAgent = Pick<Row<'agent'>, 'name' | 'state' | 'mode'> &
  AgentPatch & { readonly labels: Readonly<Record<string, string>> };

/** There are as many agents as there may be. */
export class FleetFullError extends Error {
  override readonly name = 'FleetFullError';
}

/** All agents of a manager. What is durable of them changes here only, in the store first. */
export class Fleet {
  readonly #store: ManagerStore;
  readonly #maxAgents: number;
  readonly #byNo = new Map<number, AgentRecord>();
  /** By id, and by the id they were registered under. */
  readonly #byId = new Map<string, AgentRecord>();
  /** Changes of one agent wait for one another. */
  readonly #turns = new Map<string, Promise<unknown>>();

  private constructor(store: ManagerStore, maxAgents: number) {
    this.#store = store;
    this.#maxAgents = maxAgents;
  }

  static async load(store: ManagerStore, maxAgents: number): Promise<Fleet> {
    const fleet = new Fleet(store, maxAgents);
    const [rows, labels, observed] = await Promise.all([
      store.reads.selectFrom('agent').selectAll().execute(),
      store.reads.selectFrom('agent_label').selectAll().execute(),
      store.reads.selectFrom('agent_observed').selectAll().execute(),
    ]);
    for (const row of rows) fleet.#adopt(row, {});
    for (const { agent, name, value } of labels) {
      const record = fleet.#byNo.get(agent);
      if (record !== undefined) record.labels = { ...record.labels, [name]: value };
    }
    for (const { agent, last_seen_at, missed, beats, heartbeat } of observed) {
      const record = fleet.#byNo.get(agent);
      if (record === undefined) continue;
      record.lastSeenAt = last_seen_at ?? undefined;
      record.missed = missed;
      record.beats = beats;
      const parsed =
        heartbeat === null ? undefined : heartbeatSchema.safeParse(JSON.parse(heartbeat));
      record.heartbeat = parsed?.data;
    }
    return fleet;
  }

  get size(): number {
    return this.#byNo.size;
  }

  all(): IterableIterator<AgentRecord> {
    return this.#byNo.values();
  }

  byNo(no: number): AgentRecord | undefined {
    return this.#byNo.get(no);
  }

  byId(id: string): AgentRecord | undefined {
    return this.#byId.get(id);
  }

  counts(): Record<FleetState, number> {
    const counts: Record<FleetState, number> = {
      registered: 0,
      pending: 0,
      activating: 0,
      active: 0,
      deactivated: 0,
      quarantined: 0,
      revoked: 0,
    };
    for (const { row } of this.all()) counts[row.state] += 1;
    return counts;
  }

  /** Runs `work` when what was begun for the same agent before has ended. */
  inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(work);
    const settled = turn
      .catch(() => undefined)
      .finally(() => {
        if (this.#turns.get(id) === settled) this.#turns.delete(id);
      });
    this.#turns.set(id, settled);
    return turn;
  }

  /** Adds an agent. Rejects with {@link FleetFullError}. */
  async add(
    { labels, ...agent }: NewAgent,
    audit: Omit<AuditEntry, 'subject'>,
  ): Promise<AgentRecord> {
    if (this.#byNo.size >= this.#maxAgents) {
      throw new FleetFullError(
        `there are ${String(this.#maxAgents)} agents already: forget some, or raise limits.agents`,
      );
    }
    const row = await this.#store.together(async (transaction) => {
      const { queries, now } = transaction;
      const added: Row<'agent'> = {
        ...emptyAgent,
        id: randomUUID(),
        ...agent,
        no: await transaction.next('agent'),
        registered_at: now,
      };
      await queries.insertInto('agent').values(added).execute();
      await writeLabels(transaction, added.no, labels);
      await transaction.audit({ ...audit, subject: added.id });
      return added;
    });
    return this.#adopt(row, labels);
  }

  /** Changes an agent durably, then in memory. `also` is done in the same transaction. */
  async change(
    record: AgentRecord,
    patch: AgentPatch,
    audit: Omit<AuditEntry, 'subject'> | undefined,
    also?: (transaction: Transaction) => Promise<void>,
  ): Promise<void> {
    await this.#store.together(async (transaction) => {
      if (Object.keys(patch).length > 0) {
        await transaction.queries
          .updateTable('agent')
          .set(patch)
          .where('no', '=', record.no)
          .execute();
      }
      await also?.(transaction);
      if (audit !== undefined) {
        await transaction.audit({ ...audit, subject: patch.id ?? record.row.id });
      }
    });
    this.applied(record, patch);
  }

  /** Something else has made a change durable. */
  applied(record: AgentRecord, patch: AgentPatch): void {
    if (this.#byNo.get(record.no) !== record) return;
    for (const id of idsOf(record.row)) this.#byId.delete(id);
    record.row = { ...record.row, ...patch };
    for (const id of idsOf(record.row)) this.#byId.set(id, record);
  }

  /** Forgets an agent and all that is known of it, but for what the audit log says. */
  async remove(record: AgentRecord, audit: Omit<AuditEntry, 'subject'>): Promise<void> {
    await this.#store.transact(async (transaction) => {
      await transaction.queries.deleteFrom('agent').where('no', '=', record.no).execute();
      await transaction.audit({ ...audit, subject: record.row.id });
    });
    this.#byNo.delete(record.no);
    for (const id of idsOf(record.row)) this.#byId.delete(id);
  }

  #adopt(row: Row<'agent'>, labels: Readonly<Record<string, string>>): AgentRecord {
    const record: AgentRecord = {
      no: row.no,
      row,
      labels,
      lastSeenAt: undefined,
      missed: 0,
      beats: 0,
      heartbeat: undefined,
      problem: undefined,
      connection: undefined,
      peer: undefined,
    };
    this.#byNo.set(row.no, record);
    for (const id of idsOf(row)) this.#byId.set(id, record);
    return record;
  }
}

function idsOf({ id, registered_id }: Row<'agent'>): readonly string[] {
  return registered_id === null ? [id] : [id, registered_id];
}

async function writeLabels(
  { queries }: Transaction,
  agent: number,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const rows = Object.entries(labels).map(([name, value]) => ({ agent, name, value }));
  if (rows.length > 0) await queries.insertInto('agent_label').values(rows).execute();
}

const emptyAgent = {
  registered_id: null,
  spiffe_id: null,
  address: null,
  bootstrap_key_hash: null,
  instance_id: null,
  activation_key: null,
  key_hash: null,
  key_not_before: null,
  reason: null,
  activated_at: null,
  activated_by: null,
  events_pulled: 0,
  events_stored: 0,
  desired_version: 0,
  desired_hash: '',
  desired_until: 0,
} satisfies Partial<Row<'agent'>>;
