import { type ChildProcess, fork } from 'node:child_process';
import type { Order, Report } from './authority-process.ts';
import type { Deed, perform } from './deeds.ts';
import type { Home } from './replica.ts';
import { typescriptOptions } from '../../support/typescript.ts';

export interface ChildOptions {
  readonly mode?: 'open' | 'initialise';
  readonly replicaId?: string;
  readonly clockOffsetMs?: number;
  /** Where to die, from its very start. */
  readonly crashAt?: string;
}

/** What became of an order: an answer, or the death of the process. */
export type Fate =
  | { readonly done: Awaited<ReturnType<typeof perform>> }
  | { readonly refused: string }
  | { readonly died: string };

/** An authority in a process of its own. */
export class Child {
  readonly #process: ChildProcess;
  readonly #orders = new Map<number, (fate: Fate) => void>();
  readonly #start: Promise<{ readonly died: string } | undefined>;
  #started: (fate: { readonly died: string } | undefined) => void = () => undefined;
  #died: { readonly died: string } | undefined;
  #next = 1;

  constructor({ url, directory }: Home, options: ChildOptions = {}) {
    this.#start = new Promise((resolve) => {
      this.#started = resolve;
    });
    const { mode = 'open', replicaId = 'replica-1', clockOffsetMs = 0, crashAt = '' } = options;
    const environment: NodeJS.ProcessEnv = { ...process.env, SIDEKEY_CRASH_AT: crashAt };
    delete environment['NODE_EXTRA_CA_CERTS'];
    this.#process = fork(
      new URL('./authority-process.ts', import.meta.url),
      [url, directory, mode, replicaId, String(clockOffsetMs)],
      {
        serialization: 'advanced',
        execArgv: [...typescriptOptions],
        env: environment,
      },
    );
    this.#process.on('message', (report: Report) => {
      if ('ready' in report) {
        this.#started(undefined);
        return;
      }
      const { id, ...fate } = report;
      this.#orders.get(id)?.(fate);
      this.#orders.delete(id);
    });
    this.#process.on('exit', (code, signal) => {
      const died = { died: signal ?? String(code) };
      this.#died = died;
      this.#started(died);
      for (const settle of this.#orders.values()) settle(died);
    });
  }

  /** Resolves when it is at work, or has died before. */
  started(): Promise<{ readonly died: string } | undefined> {
    return this.#start;
  }

  do(deed: Deed, crashAt?: string): Promise<Fate> {
    if (this.#died !== undefined) return Promise.resolve(this.#died);
    const id = this.#next++;
    const order: Order = { id, deed, ...(crashAt === undefined ? {} : { crashAt }) };
    return new Promise((resolve) => {
      this.#orders.set(id, resolve);
      this.#process.send(order);
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.disconnect();
    await ended;
  }
}
