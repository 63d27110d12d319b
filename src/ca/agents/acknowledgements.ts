import type { Logger } from 'pino';
import { toHex } from '../../bytes/bytes.ts';
import { chunks } from '../revocation/order.ts';
import type { Store } from '../store/store.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Timers } from '../timers.ts';

/** What a host says it has put to use. */
export interface Acknowledgement {
  readonly bundle: number;
  readonly feed: number;
  readonly tlsPolicy: number;
}

export interface AcknowledgementsOptions {
  readonly store: Store;
  readonly timers: Timers;
  readonly log: Logger;
  /** How long the first of many waits for the others. */
  readonly flushMs?: number;
}

/**
 * Writes down what hosts acknowledge and report, lazily: of each host only the last word counts, and
 * those who say the same, as nearly all do, are written with one statement. Nothing hangs on a word
 * that is lost, as hosts say it again when they connect.
 */
export class Acknowledgements {
  readonly #options: AcknowledgementsOptions;
  readonly #flushMs: number;
  #pending = new Map<string, Pending>();
  #stopTimer: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: AcknowledgementsOptions) {
    this.#options = options;
    this.#flushMs = options.flushMs ?? 500;
  }

  /** An agent was heard of. */
  seen(agent: Uint8Array): void {
    this.#note({ agent, acknowledgement: undefined, report: undefined });
  }

  acknowledged(agent: Uint8Array, acknowledgement: Acknowledgement): void {
    this.#note({ agent, acknowledgement, report: undefined });
  }

  /** @param report JSON, as `writeHostReport` makes it */
  reported(agent: Uint8Array, report: string): void {
    this.#note({ agent, acknowledgement: undefined, report });
  }

  /** Hosts of which something is not written yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Writes everything noted before the call. Never rejects: what fails is tried again later. */
  async flush(): Promise<void> {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#flushing = this.#flushing.then(() => this.#write());
    await this.#flushing;
  }

  /** Writes what is left, takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #note(news: Pending): void {
    if (this.#closed) return;
    this.#merge(news, 'newer');
    this.#schedule(this.#flushMs);
  }

  #merge(news: Pending, age: 'newer' | 'older'): void {
    const key = toHex(news.agent);
    const known = this.#pending.get(key);
    const [later, earlier] = age === 'newer' ? [news, known] : [known, news];
    this.#pending.set(key, {
      agent: news.agent,
      acknowledgement: later?.acknowledgement ?? earlier?.acknowledgement,
      report: later?.report ?? earlier?.report,
    });
  }

  #schedule(ms: number): void {
    this.#stopTimer ??= this.#options.timers.after(ms, () => {
      this.#stopTimer = undefined;
      // It does not reject.
      void this.flush();
    });
  }

  async #write(): Promise<void> {
    const pending = [...this.#pending.values()];
    this.#pending = new Map();
    for (const piece of chunks(pending, transactionHosts)) {
      try {
        await this.#options.store.transact((transaction) => writePiece(transaction, piece));
      } catch (error) {
        this.#options.log.warn({ err: error }, 'acknowledgements of hosts could not be written');
        if (this.#closed) return;
        for (const one of piece) this.#merge(one, 'older');
        this.#schedule(retryMs);
      }
    }
  }
}

interface Pending {
  readonly agent: Uint8Array;
  readonly acknowledgement: Acknowledgement | undefined;
  readonly report: string | undefined;
}

async function writePiece(transaction: Transaction, piece: readonly Pending[]): Promise<void> {
  const { queries, now } = transaction;
  const groups = new Map<string, Pending[]>();
  for (const one of piece) {
    const key = JSON.stringify(one.acknowledgement ?? null);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  for (const group of groups.values()) {
    const acknowledgement = group[0]?.acknowledgement;
    for (const part of chunks(group)) {
      await queries
        .updateTable('agent')
        .set({
          last_seen_at: now,
          ...(acknowledgement === undefined
            ? {}
            : {
                bundle_ack: acknowledgement.bundle,
                feed_ack: acknowledgement.feed,
                tls_policy_ack: acknowledgement.tlsPolicy,
              }),
        })
        .where(
          'id',
          'in',
          part.map(({ agent }) => agent),
        )
        .execute();
    }
  }
  for (const { agent, report } of piece) {
    if (report === undefined) continue;
    await queries.updateTable('agent').set({ report }).where('id', '=', agent).execute();
  }
}

/** So many rows are written in some tens of milliseconds, during which enrolments wait. */
const transactionHosts = 2000;
const retryMs = 5000;
