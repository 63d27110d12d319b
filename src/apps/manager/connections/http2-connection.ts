import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { OffloadSocket } from '../../../offload/index.ts';
import { responseLimits } from '../../fleet/agent-api/limits.ts';
import { type Answer, type Exchange, maxInformational, readAnswer } from '../requests/exchange.ts';
import { AgentUnreachable, ProtocolViolation } from '../requests/failure.ts';
import { watchGoaway } from './goaway-watch.ts';
import type { HttpConnection, HttpEvents } from './http-connection.ts';

/** HTTP/2 with an agent, whoever dialled: requests go from here to there, and nothing comes but answers. */
export function http2Connection(socket: OffloadSocket, events: HttpEvents): HttpConnection {
  watchGoaway(socket, (code) => {
    events.violated(new ProtocolViolation(`breaks HTTP/2: ${errorCodes[code] ?? String(code)}`));
  });
  const session = connect('https://agent', {
    createConnection: () => socket,
    settings: {
      enablePush: false,
      maxHeaderListSize: responseLimits.maxHeaderBytes,
      initialWindowSize: windowBytes,
      headerTableSize: 0,
    },
    maxSessionMemory: maxSessionMebibytes,
    maxReservedRemoteStreams: 0,
    maxHeaderListPairs: 64,
    maxOutstandingPings: 2,
    maxSettings: 16,
  });
  session.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    events.violated(new ProtocolViolation('sent a request or a push'));
  });
  session.on('goaway', () => {
    events.draining();
  });
  session.on('error', (error: Error) => {
    fail(events, asFailure(error));
  });
  session.on('close', () => {
    events.failed(new AgentUnreachable('the connection ended'));
  });
  return {
    exchange: (exchange) => exchangeOn(session, exchange),
    ping: () => ping(session),
    destroy: () => {
      session.destroy();
      socket.destroy();
    },
  };
}

function fail(events: HttpEvents, error: Error): void {
  if (error instanceof ProtocolViolation) events.violated(error);
  else events.failed(error);
}

function ping(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = session.ping((error: Error | null) => {
      if (error === null) resolve();
      else reject(error);
    });
    if (!sent) reject(new AgentUnreachable('a ping is still unanswered'));
  });
}

async function exchangeOn(session: ClientHttp2Session, exchange: Exchange): Promise<Answer> {
  if (session.closed || session.destroyed) throw new AgentUnreachable('the connection ended');
  const { method, path, headers, body, timeoutMs } = exchange;
  const signal = AbortSignal.timeout(timeoutMs);
  const stream = session.request(
    {
      ':method': method,
      ':path': path,
      ':scheme': 'https',
      ':authority': 'agent',
      ...(body === undefined && method !== 'GET' ? { 'content-length': 0 } : {}),
      ...headers,
    },
    { endStream: body === undefined },
  );
  try {
    const answered = responseOf(stream, signal);
    if (body !== undefined) stream.end(body);
    const { status, fields } = await answered;
    return await readAnswer(status, fields, stream, exchange, signal);
  } catch (error) {
    stream.close(constants.NGHTTP2_CANCEL);
    if (signal.aborted) throw new AgentUnreachable(`no answer within ${String(timeoutMs)} ms`);
    throw asFailure(error);
  }
}

interface Response {
  readonly status: number;
  readonly fields: Record<string, string | undefined>;
}

function responseOf(stream: ClientHttp2Stream, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    let informational = 0;
    const abort = (): void => {
      reject(new AgentUnreachable('no answer in time'));
    };
    const close = (): void => {
      signal.removeEventListener('abort', abort);
      reject(new AgentUnreachable('the request was not answered'));
    };
    signal.addEventListener('abort', abort, { once: true });
    stream.on('error', reject);
    stream.once('close', close);
    stream.on('headers', () => {
      informational += 1;
      if (informational <= maxInformational) return;
      reject(new ProtocolViolation('sends informational responses without end'));
    });
    stream.once('response', (headers) => {
      signal.removeEventListener('abort', abort);
      stream.off('close', close);
      const fields = headers as unknown as Record<string, string | undefined>;
      resolve({ status: headers[':status'] ?? 0, fields });
    });
  });
}

/** What HTTP/2 itself found wrong is the agent's fault; the rest are broken connections. */
function asFailure(cause: unknown): Error {
  if (cause instanceof AgentUnreachable || cause instanceof ProtocolViolation) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const code = 'code' in error ? String(error.code) : '';
  return violations.has(code)
    ? new ProtocolViolation(`breaks HTTP/2: ${error.message}`, { cause })
    : new AgentUnreachable(error.message, { cause });
}

/** Of Node: a frame its HTTP/2 library does not take, and an end of the session that is an error. */
const violations = new Set([
  'ERR_HTTP2_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_TOO_MANY_INVALID_FRAMES',
]);
/** Of HTTP/2 ({@link https://www.rfc-editor.org/rfc/rfc9113#section-7 | RFC 9113 §7}), by their numbers. */
const errorCodes = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];
/** Of a stream. That of the connection stays at 64 KiB. */
const windowBytes = 256 * 1024;
/** What Node counts for one session, with its queue of what the agent sent. */
const maxSessionMebibytes = 8;
