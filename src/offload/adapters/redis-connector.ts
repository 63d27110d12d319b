import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import type { OffloadSocket } from '../offload-socket.ts';

export type RedisConnectorOptions = ClientOptions;

/** What of the options of `ioredis` says where the server is. */
export interface RedisTarget {
  readonly host?: string | null | undefined;
  readonly port?: number | string | null | undefined;
  readonly path?: string | null | undefined;
  readonly family?: number | null | undefined;
  /** Milliseconds until a connection that was ended is destroyed. */
  readonly disconnectTimeout?: number | undefined;
}

/**
 * What `ioredis` takes as option `Connector`. It types connectors by a class of its own with
 * protected members, which nothing else can have: `never` fits there.
 */
export type RedisConnectorHook = new (options: unknown) => never;

/** For the option `Connector` of `ioredis`. */
export function createRedisConnector(
  options: RedisConnectorOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): RedisConnectorHook {
  const client = clientOptionsOf(options);
  class Connector extends RedisConnector {
    constructor(target: unknown) {
      super(target as RedisTarget, client, open);
    }
  }
  return Connector as unknown as RedisConnectorHook;
}

/** Makes the connections of one client of `ioredis`, one after the other. */
export class RedisConnector {
  /** Why the first connection failed, which `ioredis` tells its users. */
  firstError: Error | undefined;
  readonly #target: RedisTarget;
  readonly #client: ClientOptions;
  readonly #open: (options: ConnectOptions) => OffloadSocket;
  #dial: AbortController | undefined;
  #socket: OffloadSocket | undefined;

  constructor(
    target: RedisTarget,
    client: ClientOptions,
    open: (options: ConnectOptions) => OffloadSocket,
  ) {
    this.#target = target;
    this.#client = client;
    this.#open = open;
  }

  /** Whether the server reached will do: TLS has seen to that. */
  check(): boolean {
    return true;
  }

  async connect(): Promise<OffloadSocket> {
    const dial = new AbortController();
    this.#dial = dial;
    // In a later turn, as its own connectors do: the caller still sets itself up.
    await Promise.resolve();
    if (dial.signal.aborted) throw new Error('Connection is closed.');
    const { host, port, path, family } = this.#target;
    const socket = this.#open({
      ...(typeof path === 'string' ? { path } : { host: host ?? 'localhost', port: port ?? 6379 }),
      ...(typeof family === 'number' ? { family } : {}),
      ...this.#client,
    });
    socket.once('error', (error: Error) => {
      this.firstError = error;
    });
    this.#socket = socket;
    return socket;
  }

  disconnect(): void {
    this.#dial?.abort();
    const socket = this.#socket;
    if (socket === undefined) return;
    const timer = setTimeout(() => socket.destroy(), this.#target.disconnectTimeout ?? 2000);
    socket.once('close', () => {
      clearTimeout(timer);
    });
    socket.end();
  }
}
