import type { Logger } from 'pino';
import { type AgentRecord, isActive } from '../fleet/agent-record.ts';
import { Limiter } from '../limiter.ts';
import { AgentRefusal } from '../requests/failure.ts';
import { Schedule } from '../schedule.ts';
import type { BeatLog } from './beat-log.ts';
import type { EventPull } from './event-pull.ts';
import { type Cycle, Cycles } from './cycles.ts';

export interface SweepOptions {
  readonly intervalMs: number;
  /** Of the interval. */
  readonly jitter: number;
  readonly timeoutMs: number;
  readonly atOnce: number;
  readonly beats: BeatLog;
  readonly events: EventPull;
  readonly now: () => Date;
  readonly random: () => number;
  readonly log: Logger;
  readonly missedAfter: number;
  /** An agent answered, or did not: then there is no round trip. */
  readonly onBeat: (record: AgentRecord, roundTripMs: number | undefined) => void;
}

/**
 * Asks every active agent for a heartbeat once in each interval, give or take some: they are spread over it from the
 * beginning, and stay so. An agent without a connection counts as missed without being asked.
 */
export class Sweep {
  readonly #options: SweepOptions;
  readonly #schedule: Schedule<AgentRecord>;
  readonly #limiter: Limiter;
  readonly #pulls: Limiter;
  readonly #cycles: Cycles;
  #missed = 0;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.atOnce);
    this.#pulls = new Limiter(options.atOnce);
    this.#cycles = new Cycles(options.intervalMs, options.now());
    this.#schedule = new Schedule((record) => {
      if (!isActive(record)) return;
      this.#schedule.set(record, this.#nextMs());
      void this.#limiter.run(() => this.#beat(record));
    });
  }

  /** Heartbeats missed since the start, of all agents. */
  get missed(): number {
    return this.#missed;
  }

  /** The last sweep that is over. */
  get cycle(): Cycle | undefined {
    return this.#cycles.last;
  }

  get waiting(): number {
    return this.#limiter.waiting;
  }

  /** Begins with an agent, at some time within the next interval. */
  include(record: AgentRecord): void {
    if (this.#schedule.has(record) || !isActive(record)) return;
    this.#schedule.set(record, this.#options.random() * this.#options.intervalMs);
  }

  exclude(record: AgentRecord): void {
    this.#schedule.delete(record);
  }

  /** Asks at once: the agent has just come, or something was changed there. */
  soon(record: AgentRecord): void {
    if (!isActive(record)) return;
    this.#schedule.set(record, this.#nextMs());
    void this.#limiter.run(() => this.#beat(record));
  }

  close(): void {
    this.#schedule.close();
  }

  #nextMs(): number {
    const { intervalMs, jitter, random } = this.#options;
    return intervalMs * (1 + (2 * random() - 1) * jitter);
  }

  /** Never rejects. */
  async #beat(record: AgentRecord): Promise<void> {
    const { beats, events, now, timeoutMs, onBeat, log } = this.#options;
    const { connection } = record;
    if (!isActive(record)) return;
    if (connection === undefined) {
      this.#miss(record);
      return;
    }
    const sentAt = now();
    const started = performance.now();
    let heartbeat;
    try {
      heartbeat = await connection.client.heartbeat(sentAt, timeoutMs);
    } catch (error) {
      if (error instanceof AgentRefusal) {
        log.info({ agent: record.row.id, code: error.code }, 'an agent refused a heartbeat');
      }
      this.#miss(record);
      return;
    }
    const roundTripMs = performance.now() - started;
    this.#cycles.answered(now(), roundTripMs);
    // Between request and answer, the agent's clock was read about in the middle.
    const clockOffsetMs = Date.parse(heartbeat.time) - (sentAt.getTime() + roundTripMs / 2);
    record.problem = clockProblem(clockOffsetMs);
    beats.add(record, {
      at: now().getTime(),
      outcome: 'ok',
      roundTripMs,
      clockOffsetMs,
      heartbeat,
    });
    onBeat(record, roundTripMs);
    if (heartbeat.eventHead === record.row.events_pulled) return;
    const { eventHead } = heartbeat;
    // Not in the place of a heartbeat: an agent that has much to tell, or is slow, keeps nobody else waiting.
    this.#pulls
      .run(() => events.pull(record, eventHead))
      .catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        log.info({ agent: record.row.id }, `events could not be fetched: ${why}`);
      });
  }

  #miss(record: AgentRecord): void {
    const { beats, now, missedAfter, log, onBeat } = this.#options;
    this.#missed += 1;
    onBeat(record, undefined);
    beats.add(record, { at: now().getTime(), outcome: 'missed' });
    if (record.missed === missedAfter) {
      log.warn({ agent: record.row.id, missed: record.missed }, 'agent does not answer');
    }
  }
}

function clockProblem(offsetMs: number): string | undefined {
  if (Math.abs(offsetMs) < maxClockOffsetMs) return undefined;
  const seconds = Math.round(Math.abs(offsetMs) / 1000);
  return `its clock is ${String(seconds)} s ${offsetMs > 0 ? 'ahead' : 'behind'}`;
}

const maxClockOffsetMs = 30_000;
