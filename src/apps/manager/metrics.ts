import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type FleetState, fleetStates } from '../fleet/admin-api/messages.ts';

/** What is asked when the metrics are read. */
export interface FleetFigures {
  readonly states: () => Readonly<Record<FleetState, number>>;
  readonly connected: () => { readonly dialled: number; readonly accepted: number };
  readonly handshakesWaiting: () => number;
  readonly requestsWaiting: () => number;
  /** Of active agents, the one that was not heard of for longest. */
  readonly oldestHeartbeatSeconds: () => number;
  /** Whose certificate ends within a week. */
  readonly certificatesExpiring: () => number;
  readonly configurationsBehind: () => number;
  readonly storeIsWell: () => boolean;
}

/** Counters and gauges of a manager; labels take only values it chooses, so that an agent cannot make series. */
export class ManagerMetrics {
  readonly heartbeats: Counter<'outcome'>;
  readonly roundTrip: Histogram;
  readonly events: Counter;
  readonly refusals: Counter<'origin'>;
  readonly #registry: Registry;

  constructor(figures: FleetFigures, registry: Registry) {
    this.#registry = registry;
    collectDefaultMetrics({ register: registry, prefix: 'sidekey_manager_' });
    const registers = [registry];
    this.heartbeats = new Counter({
      name: 'sidekey_manager_heartbeats_total',
      help: 'Heartbeats by outcome: ok or missed.',
      labelNames: ['outcome'],
      registers,
    });
    this.roundTrip = new Histogram({
      name: 'sidekey_manager_heartbeat_seconds',
      help: 'From the request to the answer.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.events = new Counter({
      name: 'sidekey_manager_events_total',
      help: 'Events pulled of agents and stored.',
      registers,
    });
    this.refusals = new Counter({
      name: 'sidekey_manager_connections_refused_total',
      help: 'Connections not used, by who opened them.',
      labelNames: ['origin'],
      registers,
    });
    new Gauge({
      name: 'sidekey_manager_agents',
      help: 'Agents by state.',
      labelNames: ['state'],
      registers,
      collect() {
        const states = figures.states();
        for (const state of fleetStates) this.set({ state }, states[state]);
      },
    });
    new Gauge({
      name: 'sidekey_manager_connections',
      help: 'Connections in use, by who opened them.',
      labelNames: ['origin'],
      registers,
      collect() {
        const { dialled, accepted } = figures.connected();
        this.set({ origin: 'dialled' }, dialled);
        this.set({ origin: 'accepted' }, accepted);
      },
    });
    const gauges: readonly (readonly [name: string, help: string, read: () => number])[] = [
      ['handshakes_waiting', 'Handshakes that wait for their turn.', figures.handshakesWaiting],
      ['requests_waiting', 'Heartbeats that wait for their turn.', figures.requestsWaiting],
      [
        'oldest_heartbeat_seconds',
        'Since the last heartbeat of the active agent not heard of for longest.',
        figures.oldestHeartbeatSeconds,
      ],
      [
        'certificates_expiring',
        'Active agents whose certificate ends within a week.',
        figures.certificatesExpiring,
      ],
      [
        'configurations_behind',
        'Active agents that do not run the configuration desired of them.',
        figures.configurationsBehind,
      ],
      ['store_up', '1 if the store can be written.', () => Number(figures.storeIsWell())],
    ];
    for (const [name, help, read] of gauges) {
      new Gauge({
        name: `sidekey_manager_${name}`,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    }
  }

  async read(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
