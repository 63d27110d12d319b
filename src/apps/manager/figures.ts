import type { AgentConnection } from './connections/agent-connection.ts';
import type { HandshakeGate } from './connections/handshake-gate.ts';
import { type AgentRecord, isActive } from './fleet/agent-record.ts';
import type { Fleet } from './fleet/fleet.ts';
import { isEffective } from './jobs/configuration-push.ts';
import type { FleetFigures } from './metrics.ts';
import type { ManagerStore } from './store/manager-store.ts';
import type { Sweep } from './sweep/sweep.ts';

export interface FiguresOptions {
  readonly fleet: Fleet;
  readonly connections: () => Iterable<AgentConnection>;
  readonly gate: HandshakeGate;
  readonly sweep: Sweep;
  readonly store: ManagerStore;
  readonly now: () => Date;
}

/** What metrics say of a fleet, counted when they are read. */
export function figuresOf(options: FiguresOptions): FleetFigures {
  const { fleet, connections, gate, sweep, store, now } = options;
  const active = (): AgentRecord[] => [...fleet.all()].filter(isActive);
  return {
    states: () => fleet.counts(),
    connected: () => {
      const all = [...connections()];
      const dialled = all.filter(({ origin }) => origin === 'dialled').length;
      return { dialled, accepted: all.length - dialled };
    },
    handshakesWaiting: () => gate.waiting,
    requestsWaiting: () => sweep.waiting,
    oldestHeartbeatSeconds: () => {
      const moment = now().getTime();
      const oldest = active().reduce(
        (least, record) => Math.min(least, record.lastSeenAt ?? record.row.registered_at),
        moment,
      );
      return (moment - oldest) / 1000;
    },
    certificatesExpiring: () => {
      const soon = now().getTime() + weekMs;
      return active().filter(({ peer }) => peer !== undefined && peer.notAfter < soon).length;
    },
    configurationsBehind: () =>
      active().filter((record) => record.row.desired_version > 0 && !isEffective(record)).length,
    storeIsWell: () => store.problem === undefined,
  };
}

const weekMs = 7 * 86_400_000;
