import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { parseSidekeyId } from '../../../offload/index.ts';
import { AgentConnection } from '../connections/agent-connection.ts';
import { dialAgent, type DialOptions } from '../connections/dial.ts';
import { agentFacts } from '../connections/peer-facts.ts';
import type { AgentRecord } from './agent-record.ts';
import type { Fleet } from './fleet.ts';
import { ConflictError } from './conflict-error.ts';

export interface ActivationOptions extends DialOptions {
  readonly fleet: Fleet;
  readonly trustDomain: string;
  readonly now: () => Date;
  readonly log: Logger;
}

/**
 * Has agents activated. One that waits needs only to be let in. One that is registered is dialled, proves its
 * bootstrap key, and is given a bundle to enrol with; then its record has the id it enrolled as.
 */
export class Activation {
  readonly #options: ActivationOptions;

  constructor(options: ActivationOptions) {
    this.#options = options;
  }

  /** A pending agent is active from now on. */
  async accept(record: AgentRecord, actor: string): Promise<void> {
    const { fleet, now } = this.#options;
    if (record.row.state === 'active') return;
    if (record.row.state !== 'pending') throw wrongState(record, 'no agent that waits');
    await fleet.change(
      record,
      { state: 'active', activated_at: now().getTime(), activated_by: actor, reason: null },
      { actor, action: 'agent_activated' },
    );
  }

  /**
   * Activates a registered agent by a bundle, which stays the caller's. Asked again, goes on where it ended: the
   * agent does it once for the key that was written down before it was told.
   */
  async activate(record: AgentRecord, bundle: Uint8Array, actor: string): Promise<void> {
    if (record.row.state === 'active') return;
    await this.#options.fleet.inTurn(record.row.id, () => this.#activate(record, bundle, actor));
  }

  async #activate(record: AgentRecord, bundle: Uint8Array, actor: string): Promise<void> {
    const { row } = record;
    if (row.state === 'active') return;
    if (row.state !== 'registered' && row.state !== 'activating') {
      throw wrongState(record, 'not registered');
    }
    if (row.instance_id !== null && (await this.#finishInterrupted(record, actor))) return;
    const connection = await this.#dialBootstrap(record);
    try {
      const hello = await connection.client.hello();
      const key = row.activation_key ?? randomUUID();
      if (row.instance_id !== null && row.instance_id !== hello.instanceId) {
        throw new ConflictError(
          'another agent answers there than the one that was told to activate',
        );
      }
      await this.#options.fleet.change(
        record,
        { state: 'activating', instance_id: hello.instanceId, activation_key: key },
        { actor, action: 'agent_activating', details: { instance: hello.instanceId } },
      );
      const { agentId } = await connection.client.activate(bundle, key);
      await this.#activated(record, agentId, actor);
    } finally {
      connection.close('activation has ended');
    }
  }

  async #dialBootstrap({ row }: AgentRecord): Promise<AgentConnection> {
    const { address, bootstrap_key_hash: keyHash } = row;
    if (address === null || keyHash === null) throw new ConflictError('it has no address');
    const expected = { kind: 'bootstrap', keyHash } as const;
    const socket = await dialAgent(this.#options, address, expected);
    return new AgentConnection(socket, 'dialled', this.#options.log);
  }

  /**
   * The agent may have enrolled without our having heard of it: its bootstrap key is no more then. The instance it
   * said it was, before it was told, is what makes a certificate of the fleet that of this record.
   */
  async #finishInterrupted(record: AgentRecord, actor: string): Promise<boolean> {
    const { trustDomain, log } = this.#options;
    const { address, instance_id: instance } = record.row;
    if (address === null) return false;
    let socket;
    try {
      socket = await dialAgent(this.#options, address, { kind: 'any', trustDomain });
    } catch {
      // It still shows its bootstrap key, or nobody answers: the next step tells.
      return false;
    }
    const connection = new AgentConnection(socket, 'dialled', log);
    try {
      const peer = agentFacts(socket, trustDomain);
      const hello = await connection.client.hello();
      if (peer === undefined || hello.instanceId !== instance || hello.agentId !== peer.spiffeId) {
        throw new ConflictError(
          'another agent answers there than the one that was told to activate',
        );
      }
      await this.#activated(record, peer.spiffeId, actor);
      return true;
    } finally {
      connection.close('activation has ended');
    }
  }

  async #activated(record: AgentRecord, agentId: string, actor: string): Promise<void> {
    const { fleet, trustDomain, now, log } = this.#options;
    const id = parseSidekeyId(agentId);
    if (id?.role !== 'agent' || id.trustDomain !== trustDomain) {
      throw new ConflictError(
        `the agent enrolled as ${agentId}, which is no agent of ${trustDomain}`,
      );
    }
    const other = fleet.byId(id.uuid);
    if (other !== undefined && other !== record) {
      throw new ConflictError(`${agentId} is the agent ${other.row.name} already`);
    }
    const { id: registeredId } = record.row;
    await fleet.change(
      record,
      {
        id: id.uuid,
        registered_id: registeredId,
        spiffe_id: agentId,
        state: 'active',
        activated_at: now().getTime(),
        activated_by: actor,
        activation_key: null,
        reason: null,
      },
      { actor, action: 'agent_activated', details: { registered: registeredId } },
    );
    log.info({ agent: id.uuid, name: record.row.name }, 'agent activated');
  }
}

function wrongState({ row }: AgentRecord, what: string): ConflictError {
  return new ConflictError(`agent ${row.name} is ${row.state}, ${what}`);
}
