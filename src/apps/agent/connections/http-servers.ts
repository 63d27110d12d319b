import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { httpOf } from '../../fleet/agent-api/connection.ts';
import { requestLimits } from '../../fleet/agent-api/limits.ts';
import { type OffloadSocket, serveConnection } from '../../../offload/index.ts';
import type { Surroundings } from '../surroundings.ts';
import type { ManagerConnection } from './manager-connection.ts';

/** Times in milliseconds; for tests. */
export interface HttpTimes {
  readonly headersMs: number;
  /** For a whole request; a little more than the longest deadline, so that this one is told of. */
  readonly requestMs: number;
  /** A connection of HTTP/1.1 that says nothing. */
  readonly idleMs: number;
  /** Between signs of life on HTTP/2, and how long to wait for the answer. */
  readonly pingMs: number;
  readonly pongMs: number;
  /** How often HTTP/1.1 requests are looked at for being too slow. */
  readonly checkMs: number;
}

export type HandleRequest = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  connection: ManagerConnection,
) => void;

/**
 * Servers of HTTP/1.1 and HTTP/2 that never listen: they are given connections, whoever dialled them. The
 * agent has nothing else that speaks HTTP: it can answer, and cannot ask.
 */
export class HttpServers {
  readonly #http1;
  readonly #http2: Http2Server;
  readonly #surroundings: Surroundings;
  readonly #times: HttpTimes;
  readonly #bySocket = new WeakMap<object, ManagerConnection>();
  readonly #bySession = new WeakMap<ServerHttp2Session, ManagerConnection>();
  /** The connection that is being given to the HTTP/2 server. */
  #arriving: ManagerConnection | undefined;

  constructor(handle: HandleRequest, surroundings: Surroundings, times: HttpTimes = defaultTimes) {
    this.#surroundings = surroundings;
    this.#times = times;
    this.#http1 = createHttp1(
      {
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: times.headersMs,
        requestTimeout: times.requestMs,
        keepAliveTimeout: times.idleMs,
        connectionsCheckingInterval: times.checkMs,
        // Looked at where requests are, so that it is told of.
        requireHostHeader: false,
        insecureHTTPParser: false,
      },
      (request, response) => {
        const connection = this.#bySocket.get(request.socket);
        if (connection === undefined) response.destroy();
        else handle(request, response, connection);
      },
    );
    this.#http1.maxHeadersCount = maxHeaderFields;
    this.#http1.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refuse(this.#bySocket.get(socket), error);
      const status =
        error.code === 'HPE_HEADER_OVERFLOW'
          ? '431 Request Header Fields Too Large'
          : '400 Bad Request';
      if (socket.writable && error.code !== 'ECONNRESET') {
        socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      } else socket.destroy();
    });
    // CONNECT, and protocols to upgrade to: nothing of the kind is spoken.
    this.#http1.on('connect', (_request, socket) => {
      this.#refuse(this.#bySocket.get(socket), new Error('CONNECT is not answered'));
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
    this.#http2 = createHttp2(
      {
        maxHeaderListPairs: maxHeaderFields,
        maxSessionMemory: 10,
        maxOutstandingPings: 4,
        maxSettings: 32,
        maxSessionInvalidFrames: 8,
        maxSessionRejectedStreams: 32,
        settings: {
          enablePush: false,
          maxConcurrentStreams: requestLimits.maxConcurrent,
          maxHeaderListSize: maxHeaderBytes,
        },
      },
      (request, response) => {
        const session = request.stream.session as ServerHttp2Session | undefined;
        const connection = session === undefined ? undefined : this.#bySession.get(session);
        if (connection === undefined) request.stream.close();
        else handle(request, response, connection);
      },
    );
    this.#http2.on('session', (session) => {
      this.#begin(session);
    });
    this.#http2.on('sessionError', (error, session) => {
      this.#refuse(this.#bySession.get(session), error);
    });
  }

  /** Serves a connection by what ALPN agreed on; `false`: that is nothing we speak. */
  serve(connection: ManagerConnection): boolean {
    const { socket } = connection;
    const protocol = httpOf(socket.alpnProtocol);
    if (protocol === undefined) return false;
    socket.setKeepAlive(true, this.#times.pingMs);
    if (protocol === 'http/1.1') {
      this.#bySocket.set(socket, connection);
      serveConnection(this.#http1, socket);
      return true;
    }
    this.#arriving = connection;
    try {
      serveConnection(this.#http2, socket);
    } finally {
      this.#arriving = undefined;
    }
    return true;
  }

  #begin(session: ServerHttp2Session): void {
    const connection = this.#arriving;
    if (connection === undefined) {
      session.destroy();
      return;
    }
    this.#bySession.set(session, connection);
    connection.session = session;
    if (connection.ending) session.close();
    this.#keepAlive(session, connection.socket);
  }

  /** Keeps middleboxes from forgetting the connection, and notices when it is dead. */
  #keepAlive(session: ServerHttp2Session, socket: OffloadSocket): void {
    const { timers } = this.#surroundings;
    let stop = (): void => undefined;
    const dead = (): void => {
      this.#refuse(this.#bySession.get(session), new Error('no answer to PING'));
      session.destroy();
      socket.destroy();
    };
    const ping = (): void => {
      if (session.destroyed || session.closed) return;
      stop = timers.after(this.#times.pongMs, dead);
      const sent = session.ping((error) => {
        stop();
        if (error === null) stop = timers.after(this.#times.pingMs, ping);
      });
      if (!sent) {
        stop();
        dead();
      }
    };
    stop = timers.after(this.#times.pingMs, ping);
    session.once('close', () => {
      stop();
    });
  }

  #refuse(connection: ManagerConnection | undefined, error: NodeJS.ErrnoException): void {
    if (error.code === 'ECONNRESET' || error.code === 'ERR_OFFLOAD_TRUNCATED') return;
    this.#surroundings.log.warn(
      { manager: connection?.manager.text, code: error.code, problem: error.message },
      'connection of a manager broke the rules of HTTP',
    );
  }
}

/** A request has four header fields of ours. */
const maxHeaderFields = 64;
const maxHeaderBytes = 16 * 1024;

const defaultTimes: HttpTimes = {
  headersMs: 10_000,
  requestMs: requestLimits.timeoutMs + 5000,
  idleMs: 300_000,
  pingMs: 30_000,
  pongMs: 10_000,
  checkMs: 5000,
};
