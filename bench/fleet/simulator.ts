import { randomUUID } from 'node:crypto';
import { createServer, type ServerHttp2Session } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { BackOff } from '../../src/apps/agent/connections/back-off.ts';
import { type OffloadSocket, serveConnection } from '../../src/offload/index.ts';
import { ManagerDialler } from './dial-manager.ts';
import type { FleetAuthority } from './fleet-authority.ts';
import { offered, SimulatedAgent } from './simulated-agent.ts';

/** How agents come back: as real ones, unless the bench wants to know how fast a manager can take them. */
export interface Returning {
  readonly leastMs: number;
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Agents that dial one manager and stay, in this process. */
export class Simulator {
  readonly #agents: readonly SimulatedAgent[];
  readonly #dialler: ManagerDialler;
  readonly #returning: Returning;
  readonly #bySocket = new WeakMap<object, SimulatedAgent>();
  readonly #open = new Set<OffloadSocket>();
  #arriving: SimulatedAgent | undefined;
  failures = 0;
  lastFailure = '';
  readonly #server = createServer({ settings: { enablePush: false } });

  constructor(authority: FleetAuthority, port: number, count: number, returning: Returning) {
    this.#dialler = new ManagerDialler(authority, port, offered);
    this.#returning = returning;
    this.#agents = Array.from({ length: count }, () => new SimulatedAgent(authority, randomUUID()));
    this.#server.on('session', (session: ServerHttp2Session) => {
      if (this.#arriving !== undefined) this.#bySocket.set(session, this.#arriving);
      session.on('error', () => undefined);
    });
    this.#server.on('stream', (stream, headers) => {
      const agent = stream.session === undefined ? undefined : this.#bySocket.get(stream.session);
      stream.on('error', () => undefined);
      if (agent === undefined) stream.close();
      else {
        agent.answer(stream, headers).catch((error: unknown) => {
          this.#fail(error);
          stream.close();
        });
      }
    });
  }

  /** Answered so far, by all of them. */
  get heartbeats(): number {
    return this.#agents.reduce((sum, { heartbeats }) => sum + heartbeats, 0);
  }

  /** Connections that are up now. */
  get connected(): number {
    return this.#open.size;
  }

  /** All dial, a bounded number at a time, and dial again whenever they are cut off. */
  async start(atOnce: number): Promise<void> {
    const waiting = [...this.#agents];
    await Promise.all(
      Array.from({ length: Math.min(atOnce, waiting.length) }, async () => {
        for (let agent = waiting.pop(); agent !== undefined; agent = waiting.pop()) {
          await this.#keepConnected(agent);
        }
      }),
    );
  }

  /** Settles once it is connected for the first time. */
  async #keepConnected(agent: SimulatedAgent): Promise<void> {
    const backOff = new BackOff(this.#returning, Math.random);
    for (;;) {
      try {
        const socket = await this.#dialler.dial(agent.tls);
        this.#serve(socket, agent);
        socket.once('close', () => {
          this.#open.delete(socket);
          void delay(backOff.nextMs()).then(() => this.#keepConnected(agent));
        });
        return;
      } catch (error) {
        this.#fail(error);
        await delay(backOff.nextMs());
      }
    }
  }

  #serve(socket: OffloadSocket, agent: SimulatedAgent): void {
    socket.on('error', () => undefined);
    this.#open.add(socket);
    this.#arriving = agent;
    serveConnection(this.#server, socket);
    this.#arriving = undefined;
  }

  #fail(error: unknown): void {
    this.failures += 1;
    this.lastFailure = String(error);
  }
}
