import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  directProtocols,
  reverseProtocols,
} from '../../../../src/apps/fleet/agent-api/connection.ts';
import type { ConnectOptions, Offload, OffloadSocket } from '../../../../src/offload/index.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  // What an agent says is what tests are about.
  readonly body: any;
}

export interface Ask {
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A manager as it should be, for one connection. */
export class TestManager {
  readonly socket: OffloadSocket;
  readonly session: ClientHttp2Session;

  private constructor(socket: OffloadSocket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    this.session = connect('http://agent', { createConnection: () => socket });
    this.session.on('error', () => undefined);
  }

  /** Dials an agent. */
  static async dial(
    offload: Offload,
    address: string,
    options: ConnectOptions,
  ): Promise<TestManager> {
    const socket = dialAgent(offload, address, options);
    await once(socket, 'secureConnect');
    return new TestManager(socket);
  }

  /** Speaks on a connection that an agent has dialled. */
  static over(socket: OffloadSocket): TestManager {
    return new TestManager(socket);
  }

  async ask(
    method: string,
    path: string,
    { json, bytes, headers = {} }: Ask = {},
  ): Promise<Answer> {
    const body = bytes ?? (json === undefined ? undefined : gzipSync(JSON.stringify(json)));
    const stream = this.session.request(
      {
        ':method': method,
        ':path': path,
        ...(json === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-encoding': 'gzip' }),
        ...headers,
      },
      { endStream: body === undefined },
    );
    const answered = once(stream, 'response') as Promise<
      [IncomingHttpHeaders & { ':status': number }]
    >;
    if (body !== undefined) stream.end(body);
    const [head] = await answered;
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const text = gunzipSync(Buffer.concat(chunks)).toString();
    return { status: head[':status'], headers: head, body: JSON.parse(text) };
  }

  get(path: string): Promise<Answer> {
    return this.ask('GET', path);
  }

  get closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) resolve();
      else this.socket.once('close', resolve);
    });
  }

  close(): void {
    this.session.destroy();
    this.socket.destroy();
  }
}

/** A connection to an agent before anything is said on it. */
export function dialAgent(
  offload: Offload,
  address: string,
  options: ConnectOptions,
): OffloadSocket {
  const port = Number(address.split(':').at(-1));
  return offload.connect({ host: '127.0.0.1', port, ALPNProtocols: directProtocols, ...options });
}

export { reverseProtocols };
