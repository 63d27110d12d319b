import type { Logger } from 'pino';
import { OffloadError, OffloadErrorCode, type OffloadSocket } from '../../../offload/index.ts';
import type { ActivationPolicy } from '../fleet/activation-policy.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import { type Fleet, FleetFullError } from '../fleet/fleet.ts';
import { AgentUnreachable, ProtocolViolation } from '../requests/failure.ts';
import type { ManagerStore } from '../store/manager-store.ts';
import { AgentConnection, type Origin } from './agent-connection.ts';
import { judgeKey, type KeyVerdict } from './key-judgement.ts';
import { agentFacts, type PeerFacts } from './peer-facts.ts';

export interface ArrivalsOptions {
  readonly fleet: Fleet;
  readonly store: ManagerStore;
  readonly policy: ActivationPolicy;
  readonly trustDomain: string;
  readonly now: () => Date;
  readonly log: Logger;
  /** An agent is connected, by the connection its record has. */
  readonly onConnected: (record: AgentRecord) => void;
  readonly onDisconnected: (record: AgentRecord) => void;
}

/**
 * Judges every secured connection and gives it to the record of its agent: the newest that proved itself is used,
 * the one before is closed. The id in the certificate is the id of the record.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #connections = new Set<AgentConnection>();

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  /** All that are up. */
  get connections(): ReadonlySet<AgentConnection> {
    return this.#connections;
  }

  /**
   * Takes a connection over whose handshake has just ended. Never rejects: what is refused is closed, with one line
   * in the log. Answers whether it is used.
   */
  async admit(socket: OffloadSocket, origin: Origin): Promise<boolean> {
    const { trustDomain, fleet, log } = this.#options;
    let connection;
    try {
      const peer = agentFacts(socket, trustDomain);
      if (peer === undefined) throw new ProtocolViolation('is no agent');
      // Before anything is waited for: what the agent sends meanwhile has to find somebody.
      connection = new AgentConnection(socket, origin, log);
      const opened = connection;
      await fleet.inTurn(peer.uuid, () => this.#admit(opened, peer, socket.remoteAddress));
      return true;
    } catch (error) {
      connection?.close('refused');
      socket.destroy();
      const peer = socket.peerIdentity;
      const why = error instanceof Error ? error.message : String(error);
      const expected =
        error instanceof AgentUnreachable ||
        error instanceof ProtocolViolation ||
        error instanceof FleetFullError;
      log.warn(
        { origin, remote: socket.remoteAddress, peer, ...(expected ? {} : { err: error }) },
        `connection of an agent not used: ${why}`,
      );
      return false;
    }
  }

  async #admit(
    connection: AgentConnection,
    peer: PeerFacts,
    remoteAddress: string | undefined,
  ): Promise<void> {
    const record = await this.#recordOf(peer, remoteAddress);
    refuseUnlessWelcome(record);
    await this.#judgeKey(record, connection, peer);
    const hello = await connection.client.hello();
    if (hello.agentId !== peer.spiffeId) {
      const error = new ProtocolViolation('says it is another one than its certificate');
      connection.violated(error);
      throw error;
    }
    if (hello.state !== 'active') throw new AgentUnreachable(`the agent is ${hello.state}`);
    refuseUnlessWelcome(record);
    if (connection.ended !== undefined) throw connection.ended;
    this.#use(record, connection, peer);
  }

  async #recordOf(peer: PeerFacts, remoteAddress: string | undefined): Promise<AgentRecord> {
    const { fleet, policy, now } = this.#options;
    const known = fleet.byId(peer.uuid);
    if (known !== undefined) return known;
    const admission = policy.admit(peer, remoteAddress);
    const name = peer.dnsNames[0] ?? peer.uuid;
    return await fleet.add(
      {
        id: peer.uuid,
        spiffe_id: peer.spiffeId,
        name,
        mode: 'agent-initiated',
        labels: admission?.labels ?? {},
        ...(admission === undefined
          ? { state: 'pending' }
          : { state: 'active', activated_at: now().getTime(), activated_by: 'policy' }),
      },
      {
        actor: 'manager',
        action: admission === undefined ? 'agent_pending' : 'agent_activated_by_policy',
        details: { name, address: remoteAddress ?? '' },
      },
    );
  }

  async #judgeKey(
    record: AgentRecord,
    connection: AgentConnection,
    peer: PeerFacts,
  ): Promise<void> {
    const { fleet, now } = this.#options;
    const moment = now().getTime();
    const verdict = await this.#verdict(record, peer, moment);
    switch (verdict) {
      case 'same':
        return;
      case 'renewed':
        await fleet.change(
          record,
          { key_hash: peer.keyHash, key_not_before: peer.notBefore },
          undefined,
          async ({ queries }) => {
            await queries
              .insertInto('key_seen')
              .values({
                agent: record.no,
                key_hash: peer.keyHash,
                not_before: peer.notBefore,
                first_seen_at: moment,
              })
              .onConflict((conflict) => conflict.doNothing())
              .execute();
          },
        );
        return;
      case 'late':
        throw new AgentUnreachable('its certificate was replaced a moment ago');
      case 'clone':
        await this.quarantine(record, 'manager', 'two keys are in use for its id');
        connection.close('two keys are in use for one id');
        throw new AgentUnreachable('two keys are in use for one id');
    }
  }

  async #verdict(record: AgentRecord, peer: PeerFacts, now: number): Promise<KeyVerdict> {
    if (record.row.key_hash === peer.keyHash) return 'same';
    const seen = await this.#options.store.reads
      .selectFrom('key_seen')
      .select(['key_hash', 'first_seen_at'])
      .where('agent', '=', record.no)
      .where('key_hash', 'in', [peer.keyHash, record.row.key_hash ?? ''])
      .execute();
    const shownBefore = seen.some(({ key_hash }) => key_hash === peer.keyHash);
    const replacedAt = seen.find(({ key_hash }) => key_hash === record.row.key_hash)?.first_seen_at;
    return judgeKey(record.row, peer, { shownBefore, replacedAt }, now);
  }

  /** Cuts an agent off, durably: nothing is sent to it until it is released. */
  async quarantine(record: AgentRecord, actor: string, reason: string): Promise<void> {
    const { fleet, log } = this.#options;
    const { id: agent, state: before } = record.row;
    await fleet.change(
      record,
      { state: 'quarantined', reason },
      { actor, action: 'agent_quarantined', details: { reason, before } },
    );
    log.warn({ agent, reason, actor }, 'agent quarantined');
    record.connection?.close('quarantined');
  }

  #use(record: AgentRecord, connection: AgentConnection, peer: PeerFacts): void {
    const { onConnected, log } = this.#options;
    const before = record.connection;
    record.connection = connection;
    record.peer = peer;
    this.#connections.add(connection);
    connection.onEnd((error) => {
      this.#connections.delete(connection);
      this.#ended(record, connection, error);
    });
    before?.close('there is a newer connection');
    const { origin, remote } = connection;
    log.debug({ agent: record.row.id, origin, remote }, 'agent connected');
    onConnected(record);
  }

  #ended(record: AgentRecord, connection: AgentConnection, error: Error): void {
    const { onDisconnected, log } = this.#options;
    if (isRevocation(error)) void this.revoked(record, error.message);
    if (record.connection !== connection) return;
    record.connection = undefined;
    log.debug({ agent: record.row.id, why: error.message }, 'agent disconnected');
    onDisconnected(record);
  }

  /** The authority has revoked an agent's certificate. */
  async revoked(record: AgentRecord, reason: string): Promise<void> {
    const { fleet, log } = this.#options;
    if (record.row.state === 'revoked') return;
    try {
      await fleet.change(
        record,
        { state: 'revoked', reason },
        { actor: 'manager', action: 'agent_revoked', details: { reason } },
      );
      log.warn({ agent: record.row.id, reason }, 'agent revoked');
    } catch (error) {
      log.error({ err: error, agent: record.row.id }, 'a revocation could not be written down');
    }
  }
}

/** Whether an error says that the peer's certificate was revoked. */
export function isRevocation(error: unknown): error is OffloadError {
  if (!(error instanceof OffloadError)) return false;
  // By an alert the peer says so of us.
  const ofPeer = error.code !== OffloadErrorCode.peerAlert && error.alert === 'certificate_revoked';
  return error.code === OffloadErrorCode.peerRevoked || ofPeer;
}

function refuseUnlessWelcome({ row }: AgentRecord): void {
  if (row.state === 'active' || row.state === 'pending') return;
  throw new AgentUnreachable(`the agent is ${row.state} here`);
}
