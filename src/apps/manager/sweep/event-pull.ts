import type { AgentEvent } from '../../fleet/agent-api/messages.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { ProtocolViolation } from '../requests/failure.ts';
import type { ManagerStore } from '../store/manager-store.ts';

export interface EventPullOptions {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  /** Of each agent. */
  readonly kept: number;
  readonly onPulled: (count: number) => void;
}

/**
 * Fetches what an agent has to tell. Each event is stored before the next request acknowledges it, so that none is
 * lost, whenever either side ends; one that comes twice is stored once. Numbers that are missing are written down
 * as a gap.
 */
export class EventPull {
  readonly #options: EventPullOptions;
  readonly #pulling = new Set<AgentRecord>();

  constructor(options: EventPullOptions) {
    this.#options = options;
  }

  /** Fetches until `head` is reached, or this many pages. One at a time for each agent. Rejects as requests do. */
  async pull(record: AgentRecord, head: number): Promise<void> {
    if (this.#pulling.has(record)) return;
    this.#pulling.add(record);
    try {
      let newest = head;
      for (let page = 0; page < maxPages && record.row.events_pulled < newest; page += 1) {
        const { connection } = record;
        if (connection === undefined) return;
        const after = record.row.events_pulled;
        const answer = await connection.client.events(after, pageSize);
        try {
          const events = inOrder(answer.events, after);
          if (events.length === 0) {
            // The agent's spool was lost, or it counts anew: nothing will come up to that number.
            if (answer.head < after) await this.#reset(record, answer.head);
            return;
          }
          await this.#store(record, events, after);
        } catch (error) {
          connection.violated(error);
          throw error;
        }
        newest = Math.max(newest, answer.head);
      }
    } finally {
      this.#pulling.delete(record);
    }
  }

  async #store(record: AgentRecord, events: readonly AgentEvent[], after: number): Promise<void> {
    const { store, fleet, kept, onPulled } = this.#options;
    const last = events.at(-1)?.seq ?? after;
    const rows = withGaps(events, after).map(({ seq, at, kind, message, facts }) => ({
      agent: record.no,
      seq,
      at: Date.parse(at),
      kind,
      message,
      facts: JSON.stringify(facts),
    }));
    await store.together(async ({ queries }) => {
      for (let at = 0; at < rows.length; at += rowsPerStatement) {
        await queries
          .insertInto('event')
          .values(rows.slice(at, at + rowsPerStatement))
          .onConflict((conflict) => conflict.columns(['agent', 'seq']).doNothing())
          .execute();
      }
      await queries
        .deleteFrom('event')
        .where('agent', '=', record.no)
        .where('seq', '<=', last - kept)
        .execute();
      await queries
        .updateTable('agent')
        .set({ events_pulled: last })
        .where('no', '=', record.no)
        .execute();
    });
    fleet.applied(record, { events_pulled: last });
    onPulled(events.length);
  }

  /** The agent counts from the beginning again; what it told before stays until numbers meet it. */
  async #reset(record: AgentRecord, head: number): Promise<void> {
    const details = { before: record.row.events_pulled, head };
    await this.#options.fleet.change(
      record,
      { events_pulled: 0 },
      { actor: 'manager', action: 'agent_events_restarted', details },
      async ({ queries }) => {
        await queries.deleteFrom('event').where('agent', '=', record.no).execute();
      },
    );
  }
}

/** Those behind `after`; throws {@link ProtocolViolation} if their numbers do not rise. */
function inOrder(events: readonly AgentEvent[], after: number): readonly AgentEvent[] {
  let last = 0;
  for (const { seq } of events) {
    if (seq <= last) throw new ProtocolViolation('answered with events that are not in order');
    last = seq;
  }
  return events.filter(({ seq }) => seq > after);
}

/** With an entry of our own in the place of numbers that are missing, unless the agent says itself what is. */
function withGaps(events: readonly AgentEvent[], after: number): readonly AgentEvent[] {
  let expected = after + 1;
  return events.flatMap((event) => {
    const missing = event.seq > expected && event.kind !== 'gap';
    const gap: AgentEvent = {
      seq: expected,
      at: event.at,
      kind: 'gap',
      message: `events ${String(expected)} to ${String(event.seq - 1)} never came`,
      facts: { from: expected, to: event.seq - 1 },
    };
    expected = event.seq + 1;
    return missing ? [gap, event] : [event];
  });
}

const pageSize = 500;
const maxPages = 20;
const rowsPerStatement = 500;
