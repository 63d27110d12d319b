import type { EventSink } from '../events/event-spool.ts';
import type { Surroundings } from '../surroundings.ts';
import { type ListeningPort, listeningPorts, portKey } from './listening-ports.ts';

/** Looks at listening ports from time to time, and tells of those that come and go. */
export class PortWatch {
  readonly #everyMs: number;
  readonly #events: EventSink;
  readonly #surroundings: Surroundings;
  readonly #read: () => Promise<readonly ListeningPort[]>;
  #known: ReadonlyMap<string, ListeningPort> | undefined;
  #stop: (() => void) | undefined;
  #closed = false;

  constructor(
    everyMs: number,
    events: EventSink,
    surroundings: Surroundings,
    read: () => Promise<readonly ListeningPort[]> = () => listeningPorts(maxPorts),
  ) {
    this.#everyMs = everyMs;
    this.#events = events;
    this.#surroundings = surroundings;
    this.#read = read;
  }

  start(): void {
    void this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
  }

  /** Looks now. */
  async ports(): Promise<readonly ListeningPort[]> {
    return await this.#read();
  }

  async #look(): Promise<void> {
    try {
      const found = await this.#read();
      const ports = new Map(found.filter(isLasting).map((port) => [portKey(port), port]));
      if (this.#known !== undefined) {
        this.#tell('port_opened', ports, this.#known);
        this.#tell('port_closed', this.#known, ports);
      }
      this.#known = ports;
    } catch (error) {
      this.#surroundings.log.warn({ err: error }, 'listening ports cannot be read');
    }
    if (this.#closed) return;
    this.#stop = this.#surroundings.timers.after(this.#everyMs, () => void this.#look());
  }

  #tell(
    kind: 'port_opened' | 'port_closed',
    ports: ReadonlyMap<string, ListeningPort>,
    others: ReadonlyMap<string, ListeningPort>,
  ): void {
    for (const [key, { protocol, address, port, uid }] of ports) {
      if (others.has(key)) continue;
      this.#events.add(kind, `${protocol} ${address}:${String(port)}`, {
        protocol,
        address,
        port,
        ...(uid === undefined ? {} : { uid }),
      });
    }
  }
}

/** Ports UDP clients take for one question come and go all the time. */
function isLasting({ protocol, port }: ListeningPort): boolean {
  return protocol.startsWith('tcp') || port < firstEphemeralPort;
}

const firstEphemeralPort = 32_768;
const maxPorts = 4096;
