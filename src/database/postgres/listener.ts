import pg from 'pg';
import type { Logger } from 'pino';

export interface ChannelListenerOptions {
  readonly config: pg.ClientConfig;
  readonly log: Logger;
  /** A name of letters and `_`. */
  readonly channel: string;
  readonly onWake: () => void;
}

/**
 * A connection that hears of commits on other replicas, and so also knows whether the server is
 * there. What it hears is a wake-up and nothing more: what changed is read from its table.
 */
export class ChannelListener {
  readonly #options: ChannelListenerOptions;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #delayMs = minDelayMs;
  #closed = false;

  constructor(options: ChannelListenerOptions) {
    this.#options = options;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** Connects, and does so again whenever the connection is lost. Never rejects. */
  async start(): Promise<void> {
    const client = new pg.Client(this.#options.config);
    let lost = false;
    const onLost = (error?: Error): void => {
      if (lost) return;
      lost = true;
      this.#lost(client, error);
    };
    client.on('error', onLost);
    client.on('end', () => {
      onLost();
    });
    client.on('notification', () => {
      this.#options.onWake();
    });
    try {
      await client.connect();
      await client.query(`listen ${this.#options.channel}`);
    } catch (error) {
      onLost(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#isClosed()) {
      await client.end();
      return;
    }
    this.#client = client;
    this.#problem = undefined;
    this.#delayMs = minDelayMs;
    // What was committed in between was not heard.
    this.#options.onWake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => undefined);
  }

  #lost(client: pg.Client, error: Error | undefined): void {
    this.#client = undefined;
    client.end().catch(() => undefined);
    if (this.#closed) return;
    if (this.#problem === undefined) this.#options.log.warn({ err: error }, 'lost the store');
    this.#problem = `the store cannot be reached${error === undefined ? '' : `: ${error.message}`}`;
    this.#timer = setTimeout(() => void this.start(), this.#delayMs).unref();
    this.#delayMs = Math.min(this.#delayMs * 2, maxDelayMs);
  }

  /** Asked after a wait, in which it may have been closed. */
  #isClosed(): boolean {
    return this.#closed;
  }
}

const minDelayMs = 100;
const maxDelayMs = 5000;
