import type { Logger } from 'pino';
import type { AgentEvent, Events } from '../../fleet/agent-api/messages.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { ProtocolViolation } from '../requests/failure.ts';
import type { ManagerStore } from '../store/manager-store.ts';
import { storableText } from '../store/storable-text.ts';

export interface EventPullOptions {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  /** Of each agent. */
  readonly kept: number;
  readonly now: () => Date;
  readonly log: Logger;
  readonly onPulled: (count: number) => void;
}

/**
 * Fetches what an agent has to tell. Each event is stored before the next request acknowledges it, so that none is
 * lost, whenever either side ends, and none is stored twice. The numbers they are kept under are ours and go up by one:
 * whatever an agent counts, it can neither hide that some are missing nor have those before forgotten.
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
      if (head < record.row.events_pulled) await this.#lookWhetherAnew(record);
      let newest = head;
      for (let page = 0; page < maxPages && record.row.events_pulled < newest; page += 1) {
        const after = record.row.events_pulled;
        const answer = await this.#ask(record, after, pageSize);
        if (answer === undefined || answer.events.length === 0) return;
        await this.#store(record, answer.events, after);
        newest = Math.max(newest, answer.head);
      }
    } finally {
      this.#pulling.delete(record);
    }
  }

  /** Those behind a number, in order; `undefined`: it is not connected any more. */
  async #ask(record: AgentRecord, after: number, max: number): Promise<Told | undefined> {
    const { connection } = record;
    const answer = await connection?.client.events(after, max);
    if (answer === undefined) return undefined;
    try {
      return { events: inOrder(answer, after), head: answer.head };
    } catch (error) {
      connection?.violated(error);
      throw error;
    }
  }

  /**
   * A heartbeat told of fewer events than were pulled: its spool was lost, or the heartbeat is older than the last pull.
   * Asked from the beginning, which acknowledges nothing.
   */
  async #lookWhetherAnew(record: AgentRecord): Promise<void> {
    const answer = await this.#ask(record, 0, 1);
    if (answer !== undefined && answer.head < record.row.events_pulled) {
      await this.#countAnew(record, answer.head);
    }
  }

  async #store(record: AgentRecord, events: readonly AgentEvent[], after: number): Promise<void> {
    const last = events.at(-1)?.seq ?? after;
    await this.#append(record, withGaps(events, after), last);
    this.#options.onPulled(events.length);
  }

  /** What it told before stays, with an entry that says so. */
  async #countAnew(record: AgentRecord, head: number): Promise<void> {
    const { now, log } = this.#options;
    const { id: agent, events_pulled: before } = record.row;
    log.warn({ agent, before, head }, 'an agent counts its events anew');
    const entry: AgentEvent = {
      seq: before,
      at: now().toISOString(),
      kind: 'gap',
      message: `the agent counts its events anew: ${String(before)} was the last, now ${String(head)} is`,
      facts: { before, head },
    };
    await this.#append(record, [entry], 0);
  }

  async #append(
    record: AgentRecord,
    events: readonly AgentEvent[],
    events_pulled: number,
  ): Promise<void> {
    const { store, fleet, kept } = this.#options;
    let { events_stored } = record.row;
    const rows = events.map(({ at, kind, message, facts }) => ({
      agent: record.no,
      seq: (events_stored += 1),
      at: Date.parse(at),
      kind,
      message: storableText(message),
      facts: JSON.stringify(facts),
    }));
    const patch = { events_pulled, events_stored };
    await store.together(async ({ queries }) => {
      for (let at = 0; at < rows.length; at += rowsPerStatement) {
        const values = rows.slice(at, at + rowsPerStatement);
        await queries.insertInto('event').values(values).execute();
      }
      await queries
        .deleteFrom('event')
        .where('agent', '=', record.no)
        .where('seq', '<=', events_stored - kept)
        .execute();
      await queries.updateTable('agent').set(patch).where('no', '=', record.no).execute();
    });
    fleet.applied(record, patch);
  }
}

interface Told {
  readonly events: readonly AgentEvent[];
  /** Number of the newest there is. */
  readonly head: number;
}

/** Those behind `after`; throws {@link ProtocolViolation} if their numbers do not rise, or go beyond the newest. */
function inOrder({ events, head }: Events, after: number): readonly AgentEvent[] {
  let last = 0;
  for (const { seq } of events) {
    if (seq <= last) throw new ProtocolViolation('answered with events that are not in order');
    last = seq;
  }
  if (last > head)
    throw new ProtocolViolation('answered with events that are newer than its newest');
  return events.filter(({ seq }) => seq > after);
}

/** With an entry of our own in the place of numbers that are missing, unless the agent says itself exactly which are. */
function withGaps(events: readonly AgentEvent[], after: number): readonly AgentEvent[] {
  let expected = after + 1;
  return events.flatMap((event) => {
    const { seq, at, kind, facts } = event;
    const from = expected;
    expected = seq + 1;
    const said = kind === 'gap' && facts['from'] === from && facts['to'] === seq;
    if (seq === from || said) return [event];
    const to = seq - 1;
    const message = `events ${String(from)} to ${String(to)} never came`;
    return [{ seq: to, at, kind: 'gap', message, facts: { from, to } }, event];
  });
}

const pageSize = 500;
const maxPages = 20;
const rowsPerStatement = 500;
