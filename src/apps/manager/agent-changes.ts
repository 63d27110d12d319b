import type { Logger } from 'pino';
import type { ConnectionMode } from '../fleet/agent-api/connection.ts';
import { type AgentRecord, isActive } from './fleet/agent-record.ts';
import { ConflictError } from './fleet/conflict-error.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { ModeSync } from './fleet/mode-sync.ts';
import type { Links } from './links.ts';
import type { Sweep } from './sweep/sweep.ts';

export interface AgentChangesOptions {
  readonly fleet: Fleet;
  readonly sweep: Sweep;
  readonly modes: ModeSync;
  /** Whether agents can dial this manager. */
  readonly canBeDialled: boolean;
  /** Absent: there are none yet. */
  readonly links: () => Links | undefined;
  /** Why there are no links. */
  readonly problem: () => string | undefined;
  readonly log: Logger;
}

/**
 * What administrators do to one agent. Each resolves when it is durable, with who did it, and takes effect at once:
 * who is cut off has no connection any more, who is let in is dialled and asked. They reject with {@link ConflictError}.
 */
export class AgentChanges {
  readonly #options: AgentChangesOptions;

  constructor(options: AgentChangesOptions) {
    this.#options = options;
  }

  /** A pending agent without a bundle, a registered one with it. */
  async activate(
    record: AgentRecord,
    bundle: Uint8Array | undefined,
    actor: string,
  ): Promise<void> {
    const { activation } = this.#requireLinks();
    if (bundle !== undefined) await activation.activate(record, bundle, actor);
    else if (record.row.state === 'registered' || record.row.state === 'activating') {
      throw new ConflictError(`agent ${record.row.name} needs a bundle to enrol with`);
    } else await activation.accept(record, actor);
    this.#begin(record);
  }

  async changeMode(
    record: AgentRecord,
    mode: ConnectionMode,
    address: string | undefined,
    actor: string,
  ): Promise<void> {
    const { fleet, modes, canBeDialled, links } = this.#options;
    const { row } = record;
    const to = address ?? row.address;
    if (mode !== 'agent-initiated' && to === null) {
      throw new ConflictError('the address of the agent is not known: say it');
    }
    if (mode !== 'manager-initiated' && !canBeDialled) {
      throw new ConflictError('agents cannot dial this manager: it listens nowhere');
    }
    await fleet.change(
      record,
      { mode, address: to },
      { actor, action: 'agent_mode', details: { mode, before: row.mode, address: to ?? '' } },
    );
    links()?.dialler.consider(record);
    await modes.sync(record);
  }

  async deactivate(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { fleet, log } = this.#options;
    const { connection, row } = record;
    if (row.state === 'deactivated') return;
    await fleet.change(
      record,
      { state: 'deactivated', reason },
      { actor, action: 'agent_deactivated', details: { reason, before: row.state } },
    );
    this.#cut(record);
    if (row.state === 'active' && connection !== undefined) {
      // What counts is that it is cut off here; that it forgets its keys is for its own sake.
      await connection.client.deactivate().catch((error: unknown) => {
        log.info({ err: error, agent: row.id }, 'an agent could not be told to deactivate');
      });
    }
    connection?.close('deactivated');
  }

  async quarantine(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { state, name } = record.row;
    if (state === 'quarantined') return;
    if (state !== 'active' && state !== 'pending') {
      throw new ConflictError(`agent ${name} is ${state}`);
    }
    await this.#requireLinks().arrivals.quarantine(record, actor, reason);
    this.#cut(record);
  }

  async release(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { row } = record;
    if (row.state === 'active') return;
    if (row.state !== 'quarantined') throw new ConflictError(`agent ${row.name} is ${row.state}`);
    await this.#options.fleet.change(
      record,
      // Whoever comes first with a key of its certificate from now on is the agent.
      { state: 'active', reason: null, key_hash: null, key_not_before: null },
      { actor, action: 'agent_released', details: { reason } },
      async ({ queries }) => {
        await queries.deleteFrom('key_seen').where('agent', '=', record.no).execute();
      },
    );
    this.#begin(record);
  }

  async forget(record: AgentRecord, actor: string, reason: string): Promise<void> {
    if (isActive(record)) throw new ConflictError('an active agent is deactivated first');
    const { name, state } = record.row;
    const details = { reason, name, state };
    await this.#options.fleet.remove(record, { actor, action: 'agent_forgotten', details });
    this.#cut(record);
    record.connection?.close('forgotten');
  }

  #begin(record: AgentRecord): void {
    const { sweep, links } = this.#options;
    sweep.include(record);
    if (record.connection !== undefined) sweep.soon(record);
    else links()?.dialler.consider(record);
  }

  #cut(record: AgentRecord): void {
    const { sweep, links } = this.#options;
    sweep.exclude(record);
    links()?.dialler.consider(record);
  }

  #requireLinks(): Links {
    const { links, problem } = this.#options;
    const open = links();
    if (open === undefined) throw new ConflictError(problem() ?? 'the manager is starting');
    return open;
  }
}
