import type { Logger } from 'pino';
import type { AgentRecord } from './agent-record.ts';
import { isActive } from './agent-record.ts';

/** Tells agents how to connect from now on, when they do otherwise; never rejects. */
export class ModeSync {
  readonly #advertise: readonly string[];
  readonly #log: Logger;
  readonly #telling = new Set<AgentRecord>();

  constructor(advertise: readonly string[], log: Logger) {
    this.#advertise = advertise;
    this.#log = log;
  }

  /** Compares what the agent does with what its record says. */
  async sync(record: AgentRecord): Promise<void> {
    const { connection, row, heartbeat } = record;
    if (connection === undefined || !isActive(record) || this.#telling.has(record)) return;
    if (heartbeat === undefined || heartbeat.mode === row.mode) return;
    this.#telling.add(record);
    const { id: agent, mode } = row;
    try {
      const managers = mode === 'manager-initiated' ? [] : [...this.#advertise];
      await connection.client.mode({ mode, managers });
      this.#log.info({ agent, mode }, 'agent was told how to connect');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn({ agent, mode }, `agent could not be told how to connect: ${why}`);
    } finally {
      this.#telling.delete(record);
    }
  }
}
