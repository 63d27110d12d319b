import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AuthorityKey } from './fleet-authority.ts';
import type { Begin, FromSimulator, Told } from './simulator-messages.ts';
import type { Returning } from './simulator.ts';

const module = fileURLToPath(new URL('simulator-process.ts', import.meta.url));

/** Simulated agents of one manager, in as many processes as it takes. */
export class Simulators {
  readonly #processes: readonly SimulatorProcess[];

  private constructor(processes: readonly SimulatorProcess[]) {
    this.#processes = processes;
  }

  /** All have their keys; none is connected. */
  static async make(
    authority: AuthorityKey,
    port: number,
    count: number,
    returning: Returning,
  ): Promise<Simulators> {
    const size = Math.ceil(count / agentsPerProcess);
    const processes = Array.from({ length: size }, (_, index) => {
      const share = Math.floor(count / size) + (index < count % size ? 1 : 0);
      return new SimulatorProcess({ authority, port, count: share, returning });
    });
    await Promise.all(processes.map(({ ready }) => ready));
    return new Simulators(processes);
  }

  /** All dial, and dial again whenever they are cut off. Resolves when each was connected once. */
  async start(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.start()));
  }

  /** As they last said. */
  get now(): Told {
    const all = this.#processes.map(({ told }) => told);
    const sum = (of: (told: Told) => number): number => all.reduce((so, one) => so + of(one), 0);
    return {
      connected: sum(({ connected }) => connected),
      heartbeats: sum(({ heartbeats }) => heartbeats),
      failures: sum(({ failures }) => failures),
      lastFailure: all.find(({ lastFailure }) => lastFailure !== '')?.lastFailure ?? '',
    };
  }

  close(): void {
    for (const process of this.#processes) process.stop();
  }
}

class SimulatorProcess {
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #up: Promise<void>;
  told: Told = { connected: 0, heartbeats: 0, failures: 0, lastFailure: '' };

  constructor(begin: Begin) {
    // Keys travel as bytes.
    this.#child = fork(module, { serialization: 'advanced' });
    this.#child.on('message', (message: FromSimulator) => {
      if (typeof message === 'object') this.told = message;
    });
    this.ready = this.#said('ready');
    this.#up = this.#said('up');
    this.#child.send(begin);
  }

  async start(): Promise<void> {
    this.#child.send('start');
    await this.#up;
  }

  stop(): void {
    if (this.#child.connected) this.#child.send('stop');
  }

  /** Rejects if the process ends first. */
  async #said(wanted: 'ready' | 'up'): Promise<void> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error(`a process of simulated agents ended before it was ${wanted}`);
    });
    ended.catch(() => undefined);
    const said = new Promise<void>((resolve) => {
      this.#child.on('message', (message) => {
        if (message === wanted) resolve();
      });
    });
    await Promise.race([said, ended]);
  }
}

/** One event loop serves so many without being what is measured. */
const agentsPerProcess = 2500;
