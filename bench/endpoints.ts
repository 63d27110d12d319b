import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Request } from './endpoint-messages.ts';
import { pin, type Side, startNode, stop } from './pinned-process.ts';
import type { ServicePorts } from './services.ts';
import type { StackSettings } from './stacks.ts';
import { typescriptOptions } from '../test/support/typescript.ts';

/** One end, seen from the bench. */
export class Endpoint {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(
    side: Side,
    settings: StackSettings,
    nodeOptions: readonly string[],
  ): Promise<Endpoint> {
    const endpoint = new Endpoint(
      startNode(
        [
          ...nodeOptions,
          '--expose-gc',
          ...typescriptOptions,
          fileURLToPath(new URL('./endpoint.ts', import.meta.url)),
          JSON.stringify(settings),
        ],
        'ipc',
      ),
    );
    await endpoint.#answer(undefined);
    pin(endpoint.#child, side);
    return endpoint;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The answer to a request; its shape is that of `endpoint.ts` for this type. */
  async ask<Result>(request: Request): Promise<Result> {
    return (await this.#answer(request)) as Result;
  }

  async stop(): Promise<void> {
    await stop(this.#child);
  }

  #answer(request: Request | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ended = (): void => {
        reject(new Error(`an end of the bench went away${request ? ` at ${request.type}` : ''}`));
      };
      this.#child.once('exit', ended);
      this.#child.once('message', (message: { result?: unknown; error?: string }) => {
        this.#child.off('exit', ended);
        if (message.error === undefined) resolve(message.result);
        else reject(new Error(`an end of the bench failed: ${message.error}`));
      });
      if (request !== undefined) this.#child.send(request);
    });
  }
}

/** Both ends of one variant, with the server's ports. */
export interface Pair {
  readonly client: Endpoint;
  readonly server: Endpoint;
  readonly ports: ServicePorts;
}

/** Starts both ends, with options for Node where a row needs them. */
export async function startPair(
  settings: Record<Side, StackSettings>,
  nodeOptions: readonly string[] = [],
): Promise<Pair> {
  const [client, server] = await Promise.all([
    Endpoint.start('client', settings.client, nodeOptions),
    Endpoint.start('server', settings.server, nodeOptions),
  ]);
  return { client, server, ports: await server.ask<ServicePorts>({ type: 'listen' }) };
}

export async function stopPair({ client, server }: Pair): Promise<void> {
  await Promise.all([client.stop(), server.stop()]);
}
