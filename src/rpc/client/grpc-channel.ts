import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { frameMessage, MessageReader } from './grpc-framing.ts';
import { GrpcStatus, GrpcStatusError } from './grpc-status.ts';
import { watchLife } from '../sign-of-life.ts';

export interface GrpcCallEvents {
  /** One message; the receiver may overwrite it. */
  message(bytes: Uint8Array): void;
  /** Once, last; also after {@link GrpcCall.cancel}. */
  end(status: GrpcStatusError): void;
  /**
   * The connection has given no sign of life for a while. New calls go to another one; this call may
   * be cancelled and made again on that, or wait on.
   */
  doubted?(): void;
}

export interface GrpcCall {
  send(message: Uint8Array): void;
  /** No more messages from us. */
  endSending(): void;
  cancel(): void;
  /** No further messages from the next read on, until {@link resume}: the sender is held up. */
  pause(): void;
  resume(): void;
}

/** Where a channel leads. */
export interface GrpcChannelOptions {
  /** Opens a connection; its error is what {@link GrpcChannel.call} rejects with. */
  readonly connect: () => Promise<Duplex>;
  /** What calls started after the end of the channel reject with. */
  readonly closedError: () => Error;
  /** Who is at the other end, for messages: "sidecar". */
  readonly peer: string;
  /** Of one message; absent: 1 MiB. */
  readonly maxMessageBytes?: number;
  /** After so long without a sign of life a connection in use is ended, after a third in doubt; absent: 6 s. */
  readonly signOfLifeMs?: number;
}

/**
 * gRPC to one server over one HTTP/2 connection, which is made when needed and again when lost.
 * A thin client on `node:http2`: setting a call up costs the application less than half of what a
 * general gRPC library takes, it runs over any stream, and the connection can be told not to keep the
 * process alive.
 */
export class GrpcChannel {
  readonly #options: GrpcChannelOptions;
  /** The one for new calls. */
  #session: ClientHttp2Session | undefined;
  /** Every one that is open, with what it runs over and the calls on it. */
  readonly #sessions = new Map<ClientHttp2Session, OpenSession>();
  #opening: Promise<ClientHttp2Session> | undefined;
  #users = 0;
  #closed = false;

  constructor(options: GrpcChannelOptions) {
    this.#options = options;
  }

  /**
   * Starts a call. Rejects with the connection's error if the server cannot be reached; everything
   * later comes as a status.
   */
  async call(
    path: string,
    metadata: Readonly<Record<string, string>>,
    events: GrpcCallEvents,
  ): Promise<GrpcCall> {
    const session = this.#usable(this.#session) ?? (await this.#open());
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      [constants.HTTP2_HEADER_SCHEME]: 'http',
      [constants.HTTP2_HEADER_AUTHORITY]: this.#options.peer,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
      ...metadata,
    });
    const calls = this.#sessions.get(session)?.calls;
    calls?.add(events);
    stream.once('close', () => calls?.delete(events));
    return followCall(stream, events, this.#options);
  }

  /** While held, the connection keeps the process alive; each hold is given back by `release`. */
  hold(): void {
    this.#users += 1;
    if (this.#users === 1) for (const session of this.#sessions.keys()) session.ref();
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) for (const session of this.#sessions.keys()) session.unref();
  }

  /** Ends all connections with the calls on them; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#session = undefined;
    await Promise.all([...this.#sessions].map(([session, { stream }]) => ended(session, stream)));
  }

  #usable(session: ClientHttp2Session | undefined): ClientHttp2Session | undefined {
    return session === undefined || session.closed || session.destroyed ? undefined : session;
  }

  #open(): Promise<ClientHttp2Session> {
    if (this.#closed) return Promise.reject(this.#options.closedError());
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #connect(): Promise<ClientHttp2Session> {
    const socket = await this.#options.connect();
    if (this.#closed) {
      socket.destroy();
      throw this.#options.closedError();
    }
    const session = connectHttp2(`http://${this.#options.peer}`, {
      createConnection: () => socket,
    });
    // Calls learn by their own end that the connection broke.
    session.on('error', () => undefined);
    session.on('close', () => {
      this.#forget(session);
      this.#sessions.delete(session);
    });
    // A server that is shutting down finishes what it has; what is new goes to its successor.
    session.on('goaway', () => {
      this.#forget(session);
    });
    this.#session = session;
    this.#sessions.set(session, { stream: socket, calls: new Set() });
    if (this.#users === 0) session.unref();
    this.#watchOver(session);
    return session;
  }

  /**
   * While somebody waits for an answer. A server that is merely slow must not lose the calls it is
   * busy with; what it may never have heard of is better asked of another connection.
   */
  #watchOver(session: ClientHttp2Session): void {
    const { signOfLifeMs = defaultSignOfLifeMs } = this.#options;
    watchLife(session, {
      turnMs: signOfLifeMs / turns,
      turns,
      doubtTurns: turns / 3,
      isWanted: () => this.#users > 0,
      onDoubt: () => {
        this.#forget(session);
        for (const events of this.#sessions.get(session)?.calls ?? []) events.doubted?.();
        // Gone as soon as the calls that wait on have ended.
        session.close();
      },
    });
  }

  #forget(session: ClientHttp2Session): void {
    if (this.#session === session) this.#session = undefined;
  }
}

interface OpenSession {
  readonly stream: Duplex;
  readonly calls: Set<GrpcCallEvents>;
}

async function ended(session: ClientHttp2Session, stream: Duplex): Promise<void> {
  if (session.destroyed) return;
  await new Promise<void>((resolve) => {
    // A session waits for what it is writing, which a peer that reads nothing could hold up for good.
    const timer = setTimeout(resolve, closeWithinMs);
    session.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    session.destroy();
    setImmediate(() => stream.destroy());
  });
}

function followCall(
  stream: ClientHttp2Stream,
  events: GrpcCallEvents,
  { peer, maxMessageBytes }: GrpcChannelOptions,
): GrpcCall {
  const reader = new MessageReader(maxMessageBytes);
  let status: GrpcStatusError | undefined;
  stream.on('response', (headers: IncomingHttpHeaders) => {
    status ??= statusOf(headers) ?? refusedResponse(headers);
  });
  stream.on('trailers', (headers: IncomingHttpHeaders) => {
    status ??= statusOf(headers);
  });
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const message of reader.push(chunk)) events.message(message);
    } catch (error) {
      status ??= new GrpcStatusError(GrpcStatus.internal, messageOf(error), { cause: error });
      stream.close(constants.NGHTTP2_CANCEL);
    }
  });
  // The server has said all it will: nothing we could still send would be read.
  stream.on('end', () => stream.end());
  stream.on('error', (error: Error) => {
    status ??= new GrpcStatusError(GrpcStatus.unavailable, error.message, { cause: error });
  });
  stream.on('close', () => {
    events.end(status ?? new GrpcStatusError(GrpcStatus.unavailable, lostBy(peer, stream.rstCode)));
  });
  return {
    send: (message) => {
      if (stream.writable) stream.write(frameMessage(message));
    },
    endSending: () => {
      stream.end();
    },
    cancel: () => {
      stream.close(constants.NGHTTP2_CANCEL);
    },
    pause: () => {
      stream.pause();
    },
    resume: () => {
      stream.resume();
    },
  };
}

function lostBy(peer: string, rstCode: number | undefined): string {
  return rstCode === undefined || rstCode === constants.NGHTTP2_NO_ERROR
    ? `connection to the ${peer} was lost`
    : `call was reset with HTTP/2 error ${String(rstCode)}`;
}

function statusOf(headers: IncomingHttpHeaders): GrpcStatusError | undefined {
  const code = headers['grpc-status'];
  if (typeof code !== 'string' || !/^\d{1,3}$/.test(code)) return undefined;
  const message = headers['grpc-message'];
  return new GrpcStatusError(Number(code), typeof message === 'string' ? decoded(message) : '', {
    reason: textOf(headers['sidekey-reason']),
    retryAfterMs: Number(textOf(headers['sidekey-retry-after-ms']) ?? 0) || undefined,
    handshakeId: textOf(headers['sidekey-handshake-id']),
  });
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

function refusedResponse(headers: IncomingHttpHeaders): GrpcStatusError | undefined {
  const { ':status': httpStatus, 'content-type': contentType = '' } =
    headers as IncomingHttpHeaders & {
      readonly ':status'?: number;
    };
  if (httpStatus === 200 && contentType.startsWith('application/grpc')) return undefined;
  return new GrpcStatusError(
    GrpcStatus.unavailable,
    `not a gRPC server: HTTP status ${String(httpStatus)}, content type "${contentType}"`,
  );
}

/** Percent-encoding of `grpc-message`; taken as it is if it is not well-formed. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch (error) {
    if (error instanceof URIError) return message;
    throw error;
  }
}

/** Far more than a server is busy with anything else; far less than a handshake may take. */
const defaultSignOfLifeMs = 6000;
const turns = 12;

const closeWithinMs = 1000;
