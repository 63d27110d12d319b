import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readBounded, type StateDirectory, syncDirectory } from '../../../identity/index.ts';
import type { AgentEvent, Events, eventKinds } from '../../fleet/agent-api/messages.ts';
import type { Surroundings } from '../surroundings.ts';
import { encodeEventLine } from './event-line.ts';
import { firstOfSegment, Segment } from './segment.ts';

export type EventKind = (typeof eventKinds)[number];
export type EventFacts = AgentEvent['facts'];

/** Where the parts of an agent put what a manager should hear of. */
export interface EventSink {
  /** Never throws and never waits. */
  add(kind: EventKind, message: string, facts?: EventFacts): void;
}

/**
 * Events on disk, numbered from 1, until a manager has them: files of a bounded total size, of which the oldest goes
 * when there is no room. An event can be read once it is durable, so that no number is ever given twice.
 */
export class EventSpool implements EventSink {
  readonly #path: string;
  readonly #directory: StateDirectory;
  readonly #maxBytes: number;
  readonly #surroundings: Surroundings;
  /** Oldest first; never empty; the last one is written to. */
  readonly #segments: Segment[];
  #waiting: Omit<AgentEvent, 'seq'>[] = [];
  /** Events that found no place to wait in since the last that was written. */
  #lost = 0;
  #dropped: number;
  #acknowledged = 0;
  #work: Promise<void> = Promise.resolve();
  #scheduled = false;
  #failed = false;
  #closed = false;
  #stopRetry: (() => void) | undefined;

  private constructor(
    directory: StateDirectory,
    maxBytes: number,
    surroundings: Surroundings,
    segments: Segment[],
    dropped: number,
  ) {
    this.#path = join(directory.path, folder);
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#surroundings = surroundings;
    this.#segments = segments;
    this.#dropped = dropped;
  }

  /** Opens what there is, without what a crash left unfinished at its end. */
  static async open(
    directory: StateDirectory,
    options: { readonly maxBytes: number } & Surroundings,
  ): Promise<EventSpool> {
    const path = join(directory.path, folder);
    await mkdir(path, { recursive: true, mode: 0o700 });
    await syncDirectory(directory.path);
    const firsts = (await readdir(path)).map(firstOfSegment).filter((first) => first !== undefined);
    firsts.sort((a, b) => a - b);
    const segments: Segment[] = [];
    for (const [index, first] of firsts.entries()) {
      segments.push(await Segment.recover(path, first, index === firsts.length - 1));
    }
    const damaged = segments.filter(({ isDamaged }) => isDamaged).map(({ first }) => first);
    if (damaged.length > 0) options.log.warn({ damaged }, 'some events on disk cannot be read');
    const last = segments.at(-1);
    if (last === undefined || last.highest > last.last) {
      segments.push(await Segment.create(path, (last?.highest ?? 0) + 1));
      await syncDirectory(path);
    }
    const dropped = await readDropped(join(directory.path, droppedName));
    return new EventSpool(directory, options.maxBytes, options, segments, dropped);
  }

  /** Sequence number of the newest event that is durable; 0: there was none. */
  get head(): number {
    return this.#last.last;
  }

  /** How many were dropped before a manager had them, ever. */
  get dropped(): number {
    return this.#dropped + this.#lost;
  }

  /** Whether the last attempt to write failed. */
  get failing(): boolean {
    return this.#failed;
  }

  add(kind: EventKind, message: string, facts: EventFacts = {}): void {
    if (this.#closed) return;
    if (this.#waiting.length >= maxWaiting) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push({
      at: this.#surroundings.now().toISOString(),
      kind,
      message: message.slice(0, maxMessage),
      facts: bounded(facts),
    });
    this.#schedule();
  }

  /**
   * Events after a sequence number, which says that all up to it have arrived. Where some are missing there is one of kind
   * `gap` in their place.
   */
  async read(after: number, max: number): Promise<Events> {
    return await this.#inTurn(async () => {
      const { head } = this;
      await this.#acknowledge(Math.min(after, head));
      const events: AgentEvent[] = [];
      let next = after + 1;
      let room = pageBytes;
      for (const segment of this.#segments) {
        if (segment.last < next || events.length >= max || room <= 0) continue;
        if (segment.first > next) {
          events.push(this.#gap(next, segment.first - 1));
          next = segment.first;
          if (events.length >= max || segment.last < next) continue;
        }
        const page = await segment.read(next, max - events.length, room);
        if (page.length === 0) {
          events.push(this.#gap(next, segment.last));
          next = segment.last + 1;
          continue;
        }
        for (const one of page) room -= JSON.stringify(one).length;
        events.push(...page);
        next += page.length;
        // The rest of this one comes first, the next time.
        if (next <= segment.last) break;
      }
      return { events: events.slice(0, max), head };
    });
  }

  /** Resolves when everything added so far is durable, or cannot be made so now. */
  async settled(): Promise<void> {
    await this.#inTurn(() => Promise.resolve());
  }

  async close(): Promise<void> {
    await this.settled();
    this.#closed = true;
    this.#stopRetry?.();
    await this.#work;
    await this.#last.close();
  }

  get #last(): Segment {
    const last = this.#segments.at(-1);
    if (last === undefined) throw new TypeError('a spool has a segment');
    return last;
  }

  #gap(from: number, to: number): AgentEvent {
    return {
      seq: to,
      at: this.#surroundings.now().toISOString(),
      kind: 'gap',
      message: `${String(to - from + 1)} events were dropped`,
      facts: { from, to },
    };
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopRetry !== undefined) return;
    this.#scheduled = true;
    void this.#inTurn(async () => {
      this.#scheduled = false;
      await this.#write();
    });
  }

  /** Errors are told and retried here: nobody waits for an event. */
  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#writeBatch();
      if (this.#failed) this.#surroundings.log.info('events can be written again');
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#surroundings.log.error({ err: error }, 'events cannot be written');
      this.#failed = true;
      if (this.#closed) return;
      this.#stopRetry = this.#surroundings.timers.after(retryMs, () => {
        this.#stopRetry = undefined;
        this.#schedule();
      });
    }
  }

  async #writeBatch(): Promise<void> {
    if (this.#last.bytes >= this.#segmentBytes) await this.#roll();
    const lines: Buffer[] = [];
    let bytes = 0;
    for (const one of this.#waiting) {
      if (lines.length >= maxBatch || bytes >= this.#segmentBytes) break;
      const line = encodeEventLine({ ...one, seq: this.head + 1 + lines.length });
      lines.push(line);
      bytes += line.length;
    }
    const taken = lines.length;
    const lost = this.#lost;
    if (lost > 0) {
      lines.push(encodeEventLine({ ...this.#lossReport(lost), seq: this.head + 1 + taken }));
    }
    await this.#last.append(lines);
    this.#waiting = this.#waiting.slice(taken);
    if (lost > 0) {
      this.#lost -= lost;
      await this.#countDropped(lost);
    }
    await this.#makeRoom();
  }

  #lossReport(lost: number): Omit<AgentEvent, 'seq'> {
    return {
      at: this.#surroundings.now().toISOString(),
      kind: 'problem',
      message: `${String(lost)} events could not be kept`,
      facts: { lost },
    };
  }

  async #roll(): Promise<void> {
    const next = await Segment.create(this.#path, this.head + 1);
    await syncDirectory(this.#path);
    const full = this.#last;
    this.#segments.push(next);
    await full.close();
  }

  async #makeRoom(): Promise<void> {
    for (;;) {
      const total = this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
      const [oldest] = this.#segments;
      if (total <= this.#maxBytes || oldest === undefined || this.#segments.length === 1) return;
      const count = Math.max(0, oldest.last - Math.max(oldest.first - 1, this.#acknowledged));
      // Counted first: a number that is too high after a crash is better than one that is too low.
      if (count > 0) await this.#countDropped(count);
      await oldest.remove();
      this.#segments.shift();
    }
  }

  async #countDropped(count: number): Promise<void> {
    const dropped = this.#dropped + count;
    await this.#directory.replace(droppedName, Buffer.from(`${String(dropped)}\n`));
    this.#dropped = dropped;
  }

  async #acknowledge(upTo: number): Promise<void> {
    this.#acknowledged = Math.max(this.#acknowledged, upTo);
    for (;;) {
      const [oldest] = this.#segments;
      if (oldest === undefined || this.#segments.length === 1) return;
      if (oldest.last > this.#acknowledged) return;
      await oldest.remove();
      this.#segments.shift();
    }
  }

  get #segmentBytes(): number {
    return Math.min(maxSegmentBytes, Math.ceil(this.#maxBytes / 8));
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#work.then(task);
    this.#work = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}

function bounded(facts: EventFacts): EventFacts {
  return Object.fromEntries(
    Object.entries(facts)
      .slice(0, maxFacts)
      .map(([name, value]) => [
        name.slice(0, 64),
        typeof value === 'string' ? value.slice(0, maxFact) : value,
      ]),
  );
}

async function readDropped(path: string): Promise<number> {
  try {
    const bytes = await readBounded(path, 64);
    const count = Number(
      Buffer.from(bytes ?? [])
        .toString('latin1')
        .trim(),
    );
    return Number.isSafeInteger(count) && count >= 0 ? count : 0;
  } catch {
    // The count is lost: it is for people only.
    return 0;
  }
}

const folder = 'events';
const droppedName = 'events-dropped';
const maxWaiting = 4096;
const maxBatch = 512;
const maxMessage = 1000;
const maxFacts = 16;
const maxFact = 4096;
const maxSegmentBytes = 4 * 1024 * 1024;
const retryMs = 5000;
/** Of JSON, in one answer. */
const pageBytes = 2 * 1024 * 1024;
