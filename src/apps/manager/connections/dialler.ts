import type { Logger } from 'pino';
import type { AgentRecord } from '../fleet/agent-record.ts';
import { Limiter } from '../limiter.ts';
import { Schedule } from '../schedule.ts';
import { type Arrivals, isRevocation } from './arrivals.ts';
import { dialAgent, type DialOptions } from './dial.ts';

export interface DiallerOptions extends DialOptions {
  readonly arrivals: Arrivals;
  readonly log: Logger;
  readonly firstMs: number;
  readonly mostMs: number;
  /** At the same time. */
  readonly atOnce: number;
  readonly random: () => number;
}

/**
 * Dials the agents whose mode lets us, for ever, with pauses that double up to a bound and are at random below it: a
 * fleet that was lost together does not come back together.
 */
export class Dialler {
  readonly #options: DiallerOptions;
  readonly #schedule: Schedule<AgentRecord>;
  readonly #limiter: Limiter;
  readonly #attempts = new WeakMap<AgentRecord, number>();
  readonly #dialling = new Set<AgentRecord>();

  constructor(options: DiallerOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.atOnce);
    this.#schedule = new Schedule((record) => {
      void this.#dial(record);
    });
  }

  /** How many wait to be dialled. */
  get waiting(): number {
    return this.#schedule.size;
  }

  /** Looks whether an agent should be dialled; the first time at once, or within `withinMs` at random. */
  consider(record: AgentRecord, withinMs = 0): void {
    if (!wanted(record)) {
      this.#schedule.delete(record);
      return;
    }
    if (this.#dialling.has(record) || this.#schedule.has(record)) return;
    const { firstMs, mostMs, random } = this.#options;
    const attempts = this.#attempts.get(record) ?? 0;
    const bound = attempts === 0 ? withinMs : Math.min(mostMs, firstMs * 2 ** (attempts - 1));
    this.#schedule.set(record, random() * bound);
  }

  /** It is connected, by whoever. */
  connected(record: AgentRecord): void {
    this.#attempts.delete(record);
    this.#schedule.delete(record);
  }

  close(): void {
    this.#schedule.close();
  }

  async #dial(record: AgentRecord): Promise<void> {
    this.#dialling.add(record);
    try {
      await this.#limiter.run(() => this.#attempt(record));
    } finally {
      this.#dialling.delete(record);
      this.consider(record);
    }
  }

  async #attempt(record: AgentRecord): Promise<void> {
    const { arrivals, log } = this.#options;
    const { address, spiffe_id: spiffeId, id: agent } = record.row;
    if (!wanted(record) || address === null || spiffeId === null) return;
    const attempts = (this.#attempts.get(record) ?? 0) + 1;
    this.#attempts.set(record, Math.min(attempts, 32));
    try {
      const socket = await dialAgent(this.#options, address, { kind: 'agent', spiffeId });
      if (!(await arrivals.admit(socket, 'dialled'))) return;
    } catch (error) {
      if (isRevocation(error)) await arrivals.revoked(record, error.message);
      const level = attempts === 1 ? 'info' : 'debug';
      const why = error instanceof Error ? error.message : String(error);
      log[level]({ agent, address, attempts }, `agent cannot be reached: ${why}`);
    }
  }
}

function wanted({ row, connection }: AgentRecord): boolean {
  return (
    (row.state === 'active' || row.state === 'pending') &&
    row.mode !== 'agent-initiated' &&
    row.address !== null &&
    row.spiffe_id !== null &&
    connection === undefined
  );
}
