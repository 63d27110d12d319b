import { Worker } from 'node:worker_threads';
import type { Waiting } from './crypto-pool.ts';
import type { CryptoAnswer, CryptoAnswers, CryptoMessage } from './crypto-protocol.ts';

/** One thread of a pool, seen from the other side. Does not keep the process alive while idle. */
export class CryptoThread {
  readonly #worker: Worker;
  readonly #outstanding = new Map<number, readonly Waiting[]>();
  readonly #onAnswered: () => void;
  #nextId = 1;
  #hasWorked = false;

  constructor(events: { readonly onAnswered: () => void; readonly onLost: () => void }) {
    this.#onAnswered = events.onAnswered;
    this.#worker = new Worker(new URL(threadFile, import.meta.url));
    this.#worker.on('message', (message: CryptoAnswers) => {
      this.#answered(message);
    });
    // An 'exit' follows; without a listener the process would end.
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => {
      for (const batch of this.#outstanding.values()) answerAll(batch, []);
      this.#outstanding.clear();
      events.onLost();
    });
    this.#worker.unref();
  }

  /** Whether it ever answered. */
  get hasWorked(): boolean {
    return this.#hasWorked;
  }

  /** Messages it has not answered. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  post(message: CryptoMessage): void {
    this.#worker.postMessage(message);
  }

  work(batch: readonly Waiting[]): void {
    const id = this.#nextId++;
    if (this.#outstanding.size === 0) this.#worker.ref();
    this.#outstanding.set(id, batch);
    this.post({ type: 'work', id, tasks: batch.map(({ task }) => task) });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #answered({ id, answers }: CryptoAnswers): void {
    this.#hasWorked = true;
    const batch = this.#outstanding.get(id) ?? [];
    this.#outstanding.delete(id);
    if (this.#outstanding.size === 0) this.#worker.unref();
    answerAll(batch, answers);
    this.#onAnswered();
  }
}

function answerAll(batch: readonly Waiting[], answers: readonly CryptoAnswer[]): void {
  for (const [index, { resolve }] of batch.entries()) resolve(answers[index] ?? lost);
}

const lost: CryptoAnswer = { kind: 'failed', problem: 'a thread ended' };

/** From source it is a `.ts` file, built a `.js` file, as this one is. */
const threadFile = import.meta.url.endsWith('.ts') ? './crypto-thread.ts' : './crypto-thread.js';
