import { httpOf } from '../../fleet/agent-api/connection.ts';
import type { ConnectionMode } from '../../fleet/agent-api/connection.ts';
import type { Offload, OffloadSocket } from '../../../offload/index.ts';
import type { BackOffTimes, HostAndPort } from '../config.ts';
import type { Surroundings } from '../surroundings.ts';
import { Dialler } from './dialler.ts';
import { type IdentityInUse, managerOf } from './identity-in-use.ts';
import { Listener } from './listener.ts';
import { ManagerConnection } from './manager-connection.ts';

/** How an agent is to be connected. */
export interface WantedConnections {
  readonly mode: ConnectionMode;
  readonly managers: readonly string[];
  /** Absent: there is none that can be used now. */
  readonly identity: IdentityInUse | undefined;
}

export interface ConnectivityOptions {
  readonly offload: Offload;
  readonly listen: HostAndPort | undefined;
  readonly reconnect: BackOffTimes;
  readonly surroundings: Surroundings;
  /** Serves requests on a connection; `false`: there is nothing both sides speak. */
  readonly serve: (connection: ManagerConnection) => boolean;
  /** Somebody was not let in. */
  readonly refused: (from: string, problem: string) => void;
}

/** The connections an agent has: brings about what is wanted of them, and ends what no longer is. */
export class Connectivity {
  readonly #options: ConnectivityOptions;
  readonly #connections = new Set<ManagerConnection>();
  readonly #diallers = new Map<string, Dialler>();
  #listener: Listener | undefined;
  #opening: Promise<void> | undefined;
  #stopRetry: (() => void) | undefined;
  #wanted: WantedConnections | undefined;
  #listenProblem: string | undefined;
  #closed = false;

  constructor(options: ConnectivityOptions) {
    this.#options = options;
  }

  /** ADDRESS:PORT; `undefined`: no port is open. */
  get listening(): string | undefined {
    return this.#listener?.address;
  }

  get connections(): ReadonlySet<ManagerConnection> {
    return this.#connections;
  }

  /** What stands in the way of being connected. */
  get problems(): readonly string[] {
    const undialled = [...this.#diallers.values()].flatMap(({ address, problem }) =>
      problem === undefined ? [] : [`manager ${address}: ${problem}`],
    );
    return [...(this.#listenProblem === undefined ? [] : [this.#listenProblem]), ...undialled];
  }

  /** Opens the port if this mode needs one. Rejects with the system's error. */
  async ensureListening(mode: ConnectionMode): Promise<void> {
    const { listen } = this.#options;
    if (mode === 'agent-initiated' || this.#listener !== undefined || this.#closed) return;
    if (listen === undefined) throw new Error('no address to listen on is configured');
    this.#opening ??= this.#open(listen).finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async #open(listen: HostAndPort): Promise<void> {
    this.#listener = await Listener.open(listen, {
      offload: this.#options.offload,
      identity: () => this.#wanted?.identity,
      accepted: (socket, identity) => {
        this.#adopt(socket, identity, 'accepted');
      },
      refused: (error, address) => {
        this.#refused(error, address);
      },
      failed: (error) => {
        this.#options.surroundings.log.error({ err: error }, 'cannot accept a connection');
      },
    });
    this.#listenProblem = undefined;
    this.#options.surroundings.log.info({ address: this.#listener.address }, 'listening');
  }

  /** From now on, this is wanted. What is not ends once its requests are answered. */
  async want(wanted: WantedConnections): Promise<void> {
    if (this.#closed) return;
    this.#wanted = wanted;
    const { identity, mode } = wanted;
    await this.#listenAs(mode);
    if (mode === 'agent-initiated') await this.#opening?.catch(() => undefined);
    if (this.#wanted !== wanted) return;
    if (mode === 'agent-initiated') {
      this.#listener?.close();
      this.#listener = undefined;
      this.#listenProblem = undefined;
    }
    for (const connection of this.#connections) {
      if (!this.#isWanted(connection, wanted)) connection.end();
    }
    const dials = mode !== 'manager-initiated' && identity?.stage === 'enrolled';
    this.#dial(dials ? wanted.managers : [], identity);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopRetry?.();
    await this.#opening?.catch(() => undefined);
    this.#listener?.close();
    for (const dialler of this.#diallers.values()) dialler.stop();
    for (const connection of this.#connections) connection.end();
  }

  /** A port that somebody else has is tried again: nobody can tell us when it is free. */
  async #listenAs(mode: ConnectionMode): Promise<void> {
    const { log, timers } = this.#options.surroundings;
    this.#stopRetry?.();
    try {
      await this.ensureListening(mode);
    } catch (error) {
      const problem = `cannot listen: ${error instanceof Error ? error.message : String(error)}`;
      if (this.#listenProblem !== problem) log.error({ err: error }, 'cannot listen');
      this.#listenProblem = problem;
      this.#stopRetry = timers.after(retryMs, () => {
        if (this.#wanted !== undefined) void this.#listenAs(this.#wanted.mode);
      });
    }
  }

  #isWanted({ identity, how }: ManagerConnection, wanted: WantedConnections): boolean {
    if (identity.name !== wanted.identity?.name) return false;
    if (how === 'accepted') return wanted.mode !== 'agent-initiated';
    return wanted.mode !== 'manager-initiated';
  }

  #dial(addresses: readonly string[], identity: IdentityInUse | undefined): void {
    for (const [address, dialler] of this.#diallers) {
      if (addresses.includes(address)) continue;
      dialler.stop();
      this.#diallers.delete(address);
    }
    if (identity === undefined) return;
    for (const address of addresses) {
      if (this.#diallers.has(address)) continue;
      const dialler = new Dialler(address, {
        ...this.#options,
        identity,
        connected: (socket, used) => {
          this.#adopt(socket, used, 'dialled', dialler);
        },
      });
      this.#diallers.set(address, dialler);
      dialler.start();
    }
  }

  /** The last check before the first byte of HTTP: a manager, one of ours, and we are who it thinks. */
  #adopt(
    socket: OffloadSocket,
    identity: IdentityInUse,
    how: 'dialled' | 'accepted',
    dialler?: Dialler,
  ): void {
    const from = `${socket.remoteAddress ?? ''}:${String(socket.remotePort ?? 0)}`;
    const manager = managerOf(socket.peerIdentity);
    const { log } = this.#options.surroundings;
    if (manager === undefined) {
      this.#refuse(socket, from, `${socket.peerIdentity ?? 'nobody'} is no manager of ours`);
      return;
    }
    if (identity.name !== this.#wanted?.identity?.name || this.#closed) {
      this.#refuse(socket, from, `we are no longer "${identity.name}"`);
      return;
    }
    if (this.#connections.size >= maxConnections) {
      this.#refuse(socket, from, 'too many connections of managers');
      return;
    }
    const connection = new ManagerConnection(socket, manager, identity, how);
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      log.info({ manager: manager.text, from, how }, 'connection of a manager ended');
    });
    if (!this.#options.serve(connection)) {
      this.#refuse(socket, from, 'no HTTP was agreed on');
      return;
    }
    log.info(
      {
        manager: manager.text,
        from,
        how,
        http: httpOf(socket.alpnProtocol),
        handshake: socket.handshakeId,
      },
      'manager connected',
    );
    if (dialler !== undefined) this.#heedGoaway(connection, dialler);
  }

  /** A manager that has too much to do, or stops, says when to return. */
  #heedGoaway({ session }: ManagerConnection, dialler: Dialler): void {
    session?.on('goaway', (_code, _lastStream, opaque?: Buffer) => {
      const seconds = /^retry-after=(\d{1,4})$/u.exec(opaque?.toString('latin1') ?? '')?.[1];
      if (seconds !== undefined) dialler.comeBackAfter(Number(seconds) * 1000);
    });
  }

  #refuse(socket: OffloadSocket, from: string, problem: string): void {
    this.#options.surroundings.log.warn(
      { from, peer: socket.peerIdentity, problem },
      'peer refused',
    );
    this.#options.refused(from, problem);
    socket.destroy();
  }

  #refused(error: Error, from: string): void {
    const { code, alert, reason, handshakeId } = error as Error & {
      readonly code?: string;
      readonly alert?: string;
      readonly reason?: string;
      readonly handshakeId?: string;
    };
    this.#options.surroundings.log.warn(
      { from, code, alert, reason, handshake: handshakeId, problem: error.message },
      'peer refused',
    );
    this.#options.refused(from, reason ?? code ?? error.message);
  }
}

/** Managers an agent has at once; two that take over from each other and some that are stuck. */
const maxConnections = 32;
const retryMs = 5000;
