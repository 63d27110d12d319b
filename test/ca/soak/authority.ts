import { type ChildProcess, fork } from 'node:child_process';
import { typescriptOptions } from '../../support/typescript.ts';
/** An authority that dies again and again, and whoever asks it something asks once more. */
export class MortalAuthority {
  readonly #url: string;
  readonly #directory: string;
  #process: ChildProcess | undefined;
  /** By the clock of the soak. */
  ms: number;
  deaths = 0;
  /** Where the next order is to be its last. */
  crashAt: string | undefined;
  #mode: 'initialise' | 'open' = 'initialise';

  constructor(url: string, directory: string, ms: number) {
    this.#url = url;
    this.#directory = directory;
    this.ms = ms;
  }

  /** Answers what became of an order; after a death it is given again to the next process. */
  async ask(order: object): Promise<{ readonly done?: unknown; readonly refused?: string }> {
    for (;;) {
      const { crashAt } = this;
      this.crashAt = undefined;
      const alive = (this.#process ??= await this.#start());
      const answer = await new Promise<unknown>((resolve) => {
        const told = (message: unknown) => {
          alive.off('exit', died);
          resolve(message);
        };
        const died = () => {
          alive.off('message', told);
          resolve(undefined);
        };
        alive.once('message', told);
        alive.once('exit', died);
        alive.send({ ...order, at: this.ms, ...(crashAt === undefined ? {} : { crashAt }) });
      });
      if (typeof answer === 'object' && answer !== null) return answer;
      this.#process = undefined;
      this.deaths += 1;
    }
  }

  /** Kills it between two orders. */
  async kill(): Promise<void> {
    const alive = this.#process;
    if (alive === undefined) return;
    this.#process = undefined;
    const ended = new Promise((resolve) => alive.once('exit', resolve));
    alive.kill('SIGKILL');
    await ended;
    this.deaths += 1;
  }

  async stop(): Promise<void> {
    const alive = this.#process;
    if (alive === undefined) return;
    const ended = new Promise((resolve) => alive.once('exit', resolve));
    alive.disconnect();
    await ended;
  }

  async #start(): Promise<ChildProcess> {
    const environment: NodeJS.ProcessEnv = { ...process.env };
    delete environment['NODE_EXTRA_CA_CERTS'];
    const child = fork(
      new URL('./life.ts', import.meta.url),
      [this.#url, this.#directory, String(this.ms), this.#mode],
      {
        serialization: 'advanced',
        execArgv: [...typescriptOptions],
        env: environment,
      },
    );
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => {
        resolve();
      });
      child.once('exit', (code, signal) => {
        reject(new Error(`the authority did not start: ${signal ?? String(code)}`));
      });
    });
    child.removeAllListeners('exit');
    this.#mode = 'open';
    return child;
  }
}
