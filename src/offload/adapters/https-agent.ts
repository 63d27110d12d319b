import type { AgentOptions as HttpAgentOptions } from 'node:http';
import { Agent, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import type { OffloadSocket } from '../offload-socket.ts';

/** Options of `http.Agent`, and those of our connections. */
export type HttpsAgentOptions = ClientOptions & HttpAgentOptions;

/** `https.Agent` over our connections: pooling, keep-alive and limits are Node's. */
export class OffloadHttpsAgent extends Agent {
  readonly #connect: (options: ConnectOptions) => OffloadSocket;
  readonly #client: ClientOptions;

  constructor(options: HttpsAgentOptions, connect: (options: ConnectOptions) => OffloadSocket) {
    const client = clientOptionsOf(options);
    const own = new Set(Object.keys(client));
    super(Object.fromEntries(Object.entries(options).filter(([name]) => !own.has(name))));
    this.#client = client;
    this.#connect = connect;
  }

  override createConnection(options: ConnectOptions): Duplex {
    return this.#connect({ ALPNProtocols: ['http/1.1'], ...options, ...this.#client });
  }

  /** Connections made for different peers or in different names are never shared. */
  override getName(options?: RequestOptions & ClientOptions): string {
    const { identity, anonymous, targetIdentities, pinnedPublicKeys } = {
      ...options,
      ...this.#client,
    };
    const peer = [identity, anonymous, targetIdentities, pinnedPublicKeys];
    return `${super.getName(options)}:${JSON.stringify(peer)}`;
  }
}
