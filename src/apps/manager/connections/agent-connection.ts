import type { Logger } from 'pino';
import type { OffloadSocket } from '../../../offload/index.ts';
import { httpOf } from '../../fleet/agent-api/connection.ts';
import { AgentClient, type Exchanger } from '../requests/agent-client.ts';
import type { Answer, Exchange } from '../requests/exchange.ts';
import { AgentUnreachable, ProtocolViolation } from '../requests/failure.ts';
import type { HttpConnection, HttpEvents } from './http-connection.ts';
import { http1Connection } from './http1-connection.ts';
import { http2Connection } from './http2-connection.ts';

/** Who opened a connection. */
export type Origin = 'dialled' | 'accepted';

/**
 * One secured connection with an agent, whoever opened it: requests go out on it and answers come back.
 * Whatever is wrong with an answer ends it, and it alone, with one line in the log.
 */
export class AgentConnection implements Exchanger {
  readonly origin: Origin;
  /** HOST:PORT of the agent's end. */
  readonly remote: string;
  readonly client: AgentClient;
  readonly #socket: OffloadSocket;
  readonly #http: HttpConnection;
  readonly #log: Logger;
  readonly #closers: ((error: Error) => void)[] = [];
  #ended: Error | undefined;
  #lastHeardAt = performance.now();
  #pinging = false;
  #draining = false;

  /** The handshake has ended. Throws {@link ProtocolViolation} if no HTTP was agreed on. */
  constructor(socket: OffloadSocket, origin: Origin, log: Logger) {
    this.#socket = socket;
    this.origin = origin;
    this.remote = `${socket.remoteAddress ?? '?'}:${String(socket.remotePort ?? 0)}`;
    this.#log = log;
    this.client = new AgentClient(this);
    const events: HttpEvents = {
      violated: (error) => {
        this.violated(error);
      },
      draining: () => {
        this.#draining = true;
      },
      failed: (error) => {
        this.#fail(error);
      },
    };
    // Stays for good: no agent may end the process by breaking a connection.
    socket.on('error', (error: Error) => {
      this.#fail(error);
    });
    this.#http = httpOver(socket, events);
  }

  /** Why it ended; `undefined`: it is up. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /** The agent wants it to end soon. */
  get draining(): boolean {
    return this.#draining;
  }

  async exchange(exchange: Exchange): Promise<Answer> {
    if (this.#ended !== undefined) throw gone(this.#ended);
    try {
      const answer = await this.#http.exchange(exchange);
      this.#lastHeardAt = performance.now();
      return answer;
    } catch (error) {
      // With an answer missing or broken, nothing that comes later can be relied on.
      if (error instanceof ProtocolViolation) this.violated(error);
      else this.#fail(asError(error));
      throw error;
    }
  }

  violated(error: unknown): void {
    if (!(error instanceof ProtocolViolation) || this.#ended !== undefined) return;
    const { origin, remote } = this;
    this.#log.warn(
      { origin, remote, peer: this.#socket.peerIdentity },
      `agent ${error.message}: connection ended`,
    );
    this.#fail(error);
  }

  /** Finds out whether the other end is still there, unless it was heard of lately. */
  keepAlive(silenceMs: number): void {
    if (this.#ended !== undefined || performance.now() - this.#lastHeardAt < silenceMs) return;
    if (this.#pinging) {
      this.#fail(new AgentUnreachable('no answer to a ping'));
      return;
    }
    this.#pinging = true;
    this.#http.ping().then(
      () => {
        this.#pinging = false;
        this.#lastHeardAt = performance.now();
      },
      (error: unknown) => {
        this.#fail(asError(error));
      },
    );
  }

  /** Called once with why, when it has ended; at once if it has. */
  onEnd(closer: (error: Error) => void): void {
    if (this.#ended === undefined) this.#closers.push(closer);
    else closer(this.#ended);
  }

  close(why: string): void {
    this.#fail(new AgentUnreachable(why));
  }

  #fail(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#http.destroy();
    for (const closer of this.#closers.splice(0)) closer(error);
  }
}

function httpOver(socket: OffloadSocket, events: HttpEvents): HttpConnection {
  switch (httpOf(socket.alpnProtocol)) {
    case 'h2':
      return http2Connection(socket, events);
    case 'http/1.1':
      return http1Connection(socket, events);
    case undefined:
      socket.destroy();
      throw new ProtocolViolation('agreed on no HTTP');
  }
}

function gone(error: Error): AgentUnreachable {
  return new AgentUnreachable(`the connection ended: ${error.message}`, { cause: error });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
