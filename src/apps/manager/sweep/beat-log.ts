import type { Logger } from 'pino';
import type { Heartbeat } from '../../fleet/agent-api/messages.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import type { ManagerStore, Transaction } from '../store/manager-store.ts';

/** One heartbeat that was asked for. */
export interface Beat {
  readonly at: number;
  readonly outcome: 'ok' | 'missed';
  readonly roundTripMs?: number;
  /** How far the agent's clock is ahead of ours. */
  readonly clockOffsetMs?: number;
  readonly heartbeat?: Heartbeat;
}

export interface BeatLogOptions {
  readonly store: ManagerStore;
  readonly log: Logger;
  /** How many of each agent are kept. */
  readonly kept: number;
}

/**
 * Writes heartbeats down, many in one transaction: each takes the place of the agent's oldest. In memory they count
 * at once; what a crash loses are those of the last moments, which come again.
 */
export class BeatLog {
  readonly #options: BeatLogOptions;
  #waiting: { readonly record: AgentRecord; readonly beat: Beat }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: BeatLogOptions) {
    this.#options = options;
  }

  add(record: AgentRecord, beat: Beat): void {
    if (beat.outcome === 'ok') {
      record.missed = 0;
      record.lastSeenAt = beat.at;
      record.heartbeat = beat.heartbeat ?? record.heartbeat;
    } else record.missed += 1;
    this.#waiting.push({ record, beat });
    if (this.#waiting.length >= maxBatch) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), flushEveryMs).unref();
  }

  /** Resolves when all that was added is durable, or was given up with a line in the log. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length > 0) this.#flushing = this.#flushing.then(() => this.#write(batch));
    await this.#flushing;
  }

  async #write(batch: readonly { readonly record: AgentRecord; readonly beat: Beat }[]) {
    const { store, log, kept } = this.#options;
    try {
      await store.transact(async (transaction) => {
        // Of the rows that are gone meanwhile nothing may be written.
        const known = await existing(transaction, batch);
        const rows = batch.filter(({ record }) => known.has(record.no));
        await writeHistory(transaction, rows, kept);
        await writeObserved(transaction, rows);
      });
    } catch (error) {
      log.warn({ err: error, beats: batch.length }, 'heartbeats could not be written down');
    }
  }
}

type Batch = readonly { readonly record: AgentRecord; readonly beat: Beat }[];

async function existing({ queries }: Transaction, batch: Batch): Promise<ReadonlySet<number>> {
  const numbers = [...new Set(batch.map(({ record }) => record.no))];
  const rows = await queries.selectFrom('agent').select('no').where('no', 'in', numbers).execute();
  return new Set(rows.map(({ no }) => no));
}

async function writeHistory({ queries }: Transaction, batch: Batch, kept: number): Promise<void> {
  // One row cannot be written twice by one statement.
  const rows = new Map<string, Parameters<typeof row>>();
  for (const { record, beat } of batch) {
    const slot = record.beats % kept;
    record.beats += 1;
    rows.set(`${String(record.no)}/${String(slot)}`, [record, slot, beat]);
  }
  const values = [...rows.values()].map((one) => row(...one));
  for (let at = 0; at < values.length; at += rowsPerStatement) {
    await queries
      .insertInto('heartbeat')
      .values(values.slice(at, at + rowsPerStatement))
      .onConflict((conflict) =>
        conflict.columns(['agent', 'slot']).doUpdateSet((set) => ({
          at: set.ref('excluded.at'),
          outcome: set.ref('excluded.outcome'),
          round_trip_us: set.ref('excluded.round_trip_us'),
          clock_offset_ms: set.ref('excluded.clock_offset_ms'),
        })),
      )
      .execute();
  }
}

function row({ no }: AgentRecord, slot: number, beat: Beat) {
  const { at, outcome, roundTripMs, clockOffsetMs } = beat;
  return {
    agent: no,
    slot,
    at,
    outcome,
    round_trip_us: roundTripMs === undefined ? null : Math.round(roundTripMs * 1000),
    clock_offset_ms: clockOffsetMs === undefined ? null : Math.round(clockOffsetMs),
  };
}

async function writeObserved({ queries }: Transaction, batch: Batch): Promise<void> {
  const records = [...new Set(batch.map(({ record }) => record))];
  for (let at = 0; at < records.length; at += rowsPerStatement) {
    const values = records.slice(at, at + rowsPerStatement).map((record) => ({
      agent: record.no,
      last_seen_at: record.lastSeenAt ?? null,
      missed: record.missed,
      beats: record.beats,
      heartbeat: record.heartbeat === undefined ? null : JSON.stringify(record.heartbeat),
    }));
    await queries
      .insertInto('agent_observed')
      .values(values)
      .onConflict((conflict) =>
        conflict.column('agent').doUpdateSet((set) => ({
          last_seen_at: set.ref('excluded.last_seen_at'),
          missed: set.ref('excluded.missed'),
          beats: set.ref('excluded.beats'),
          heartbeat: set.ref('excluded.heartbeat'),
        })),
      )
      .execute();
  }
}

const maxBatch = 1000;
const flushEveryMs = 250;
const rowsPerStatement = 500;
