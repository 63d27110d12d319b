import { Worker } from 'node:worker_threads';
import type { StatementResult } from '../dialect.ts';
import { SqliteError } from '../errors.ts';
import { packValues } from './packed-values.ts';
import type { WriterAnswer, WriterAnswers, WriterData, WriterRequest } from './protocol.ts';

/** The writing connection, in a thread of its own. Statements run in the order they are given. */
export class WriterConnection {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onLost: (error: Error) => void;
  /** Not yet sent. */
  #asked: WriterRequest[] = [];
  #next = 1;
  #lost: Error | undefined;
  #closing = false;

  private constructor(worker: Worker, onLost: (error: Error) => void) {
    this.#worker = worker;
    this.#onLost = onLost;
    worker.on('message', (answers: WriterAnswers) => {
      if (answers === 'ready') return;
      for (const answer of answers) this.#answered(answer);
    });
    worker.on('error', (error) => {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    });
    worker.on('exit', () => {
      this.#fail(new Error('the thread of the writing connection ended'));
    });
  }

  /** `onLost` is called if the thread dies while it is needed. */
  static async open(data: WriterData, onLost: (error: Error) => void): Promise<WriterConnection> {
    const worker = new Worker(new URL(threadFile, import.meta.url), { workerData: data });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => {
        worker.off('error', reject);
        resolve();
      });
      worker.once('error', reject);
    });
    return new WriterConnection(worker, onLost);
  }

  execute(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    let packed: Uint8Array<ArrayBuffer>;
    try {
      packed = packValues(parameters);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new TypeError(String(error)));
    }
    return this.#ask((id) => ({ type: 'execute', id, sql, parameters: packed }));
  }

  async close(): Promise<void> {
    if (this.#lost !== undefined) return;
    const ended = new Promise<void>((resolve) => this.#worker.once('exit', resolve));
    // Its last answer and its end may come in one tick.
    this.#closing = true;
    await this.#ask((id) => ({ type: 'close', id }));
    this.#lost = new Error('the store is closed');
    await ended;
  }

  #ask(request: (id: number) => WriterRequest): Promise<StatementResult> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#asked.push(request(id));
      // After everything else that is about to ask: a message costs more than most statements.
      if (this.#asked.length === 1) {
        process.nextTick(() => {
          this.#send();
        });
      }
    });
  }

  #send(): void {
    const requests = this.#asked;
    this.#asked = [];
    const memory = requests.flatMap((request) =>
      request.type === 'execute' ? [request.parameters.buffer] : [],
    );
    this.#worker.postMessage(requests, memory);
  }

  #answered(answer: WriterAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.type === 'done') waiting?.resolve(answer);
    else waiting?.reject(new SqliteError(answer.failure.message, answer.failure.code));
  }

  #fail(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (!this.#closing) this.#onLost(error);
  }
}

interface Waiting {
  readonly resolve: (result: StatementResult) => void;
  readonly reject: (error: Error) => void;
}

/** From source it is a `.ts` file, built a `.js` file, as this one is. */
const threadFile = import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './writer-thread.js';
