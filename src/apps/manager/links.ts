import type { Logger } from 'pino';
import { type Offload, parseSidekeyId } from '../../offload/index.ts';
import { type Administration, type AdminService, startAdminService } from './admin/index.ts';
import type { ManagerConfig } from './config.ts';
import { Acceptor } from './connections/acceptor.ts';
import { Arrivals } from './connections/arrivals.ts';
import { Dialler } from './connections/dialler.ts';
import type { HandshakeGate } from './connections/handshake-gate.ts';
import { Activation } from './fleet/activation.ts';
import { ActivationPolicy } from './fleet/activation-policy.ts';
import type { AgentRecord } from './fleet/agent-record.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { ManagerStore } from './store/manager-store.ts';

/** All that is connected, or waits to be: there is nothing of it before it is known who the manager is. */
export interface Links {
  readonly arrivals: Arrivals;
  readonly dialler: Dialler;
  /** Absent: agents dial nowhere. */
  readonly acceptor: Acceptor | undefined;
  readonly activation: Activation;
  /** Absent: operators reach it by the local socket only. */
  readonly https: AdminService | undefined;
  /** Ends all of them. */
  close(): Promise<void>;
}

export interface LinksOptions {
  readonly config: ManagerConfig;
  readonly offload: Offload;
  readonly gate: HandshakeGate;
  /** The manager's own. */
  readonly trustDomain: string;
  readonly fleet: Fleet;
  readonly store: ManagerStore;
  readonly administration: Administration;
  readonly now: () => Date;
  readonly random: () => number;
  readonly log: Logger;
  /** An agent is connected, and may be asked. */
  readonly onConnected: (record: AgentRecord) => void;
  /** Somebody who dialled was not let in. */
  readonly onRefused: () => void;
}

/** Opens everything, and dials nobody yet. Rejects with `ListenError`; then nothing is open. */
export async function openLinks(options: LinksOptions): Promise<Links> {
  const { config, offload, gate, trustDomain, fleet, store, now, random, log } = options;
  const { identity, limits, reconnect } = config;
  const dialling = { offload, identity, gate };
  const arrivals = new Arrivals({
    fleet,
    store,
    policy: new ActivationPolicy(config.activation),
    trustDomain,
    now,
    log,
    onConnected: (record) => {
      dialler.connected(record);
      options.onConnected(record);
    },
    onDisconnected: (record) => {
      dialler.consider(record, reconnect.firstMs);
    },
  });
  const dialler = new Dialler({
    ...dialling,
    ...reconnect,
    arrivals,
    log,
    atOnce: limits.handshakesAtOnce,
    random,
  });
  const acceptor = await openAcceptor(options, arrivals);
  let https;
  try {
    https = await openHttps(options);
  } catch (error) {
    await acceptor?.close();
    throw error;
  }
  // Also of agents whose connection ended first, from their own end.
  const stopHearing = offload.onPeerRevoked(({ spiffeId, reason }) => {
    const id = parseSidekeyId(spiffeId);
    const record = id?.role === 'agent' ? fleet.byId(id.uuid) : undefined;
    if (record?.row.spiffe_id !== spiffeId) return;
    void arrivals.revoked(record, `its certificate was revoked: ${reason}`);
  });
  return {
    arrivals,
    dialler,
    acceptor,
    activation: new Activation({ ...dialling, fleet, trustDomain, now, log }),
    https,
    close: async () => {
      stopHearing();
      dialler.close();
      await acceptor?.close();
      await https?.close();
      for (const connection of [...arrivals.connections]) connection.close('manager stops');
    },
  };
}

async function openAcceptor(
  { config, offload, gate, trustDomain, log, onRefused }: LinksOptions,
  arrivals: Arrivals,
): Promise<Acceptor | undefined> {
  const { listen, identity, limits } = config;
  if (listen === undefined) return undefined;
  const acceptor = new Acceptor({
    offload,
    identity,
    gate,
    trustDomain,
    log,
    maxConnections: limits.agents + limits.handshakesWaiting,
    onSecure: (socket) => {
      void arrivals.admit(socket, 'accepted').then((used) => {
        if (!used) onRefused();
      });
    },
    onRefused,
  });
  await acceptor.listen(listen);
  log.info({ address: acceptor.address }, 'agents can dial');
  return acceptor;
}

async function openHttps(options: LinksOptions): Promise<AdminService | undefined> {
  const { config, administration, offload, trustDomain, now, log } = options;
  const { admin, identity } = config;
  if (admin.https === undefined) return undefined;
  const https = { address: admin.https, offload, identity, trustDomain, names: admin.names };
  const service = await startAdminService({
    administration,
    address: undefined,
    https,
    now,
    log,
  });
  log.info({ address: service.https }, 'operators can connect');
  return service;
}
