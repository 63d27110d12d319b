import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly type: string | undefined;
  readonly key: string | undefined;
  readonly body: Buffer;
}

type Answer = (asked: Asked) => { readonly status?: number; readonly body: unknown };

/** Answers as a manager would, by script, at a unix socket: what commands ask, and how they take an answer. */
export class ScriptedManager {
  readonly asked: Asked[] = [];
  readonly #directory: string;
  readonly #server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const { method = '', url = '', headers } = request;
      const key = headers['idempotency-key'];
      const asked = { method, url, type: headers['content-type'], key: String(key ?? ''), body };
      this.asked.push(asked);
      const { status = 200, body: answer } = this.answer(asked);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    });
  });
  answer: Answer = () => ({ status: 500, body: 'nothing' });

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(): Promise<ScriptedManager> {
    const manager = new ScriptedManager(await mkdtemp(join(tmpdir(), 'sidekey-fleet-')));
    manager.#server.listen(manager.path);
    await once(manager.#server, 'listening');
    return manager;
  }

  get path(): string {
    return join(this.#directory, 'manager.sock');
  }

  get directory(): string {
    return this.#directory;
  }

  /** Forgets what was asked; answers so from now on. */
  script(answer: Answer): void {
    this.asked.length = 0;
    this.answer = answer;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#directory, { recursive: true });
  }
}
