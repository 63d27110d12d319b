import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import type { OffloadSocket } from '../../../offload/index.ts';
import { responseLimits } from '../../fleet/agent-api/limits.ts';
import { type Answer, type Exchange, maxInformational, readAnswer } from '../requests/exchange.ts';
import { AgentUnreachable, ProtocolViolation } from '../requests/failure.ts';
import type { HttpConnection, HttpEvents } from './http-connection.ts';

/** HTTP/1.1 with an agent that has no other: one request after the other, on the one connection there is. */
export function http1Connection(socket: OffloadSocket, events: HttpEvents): HttpConnection {
  const agent = new OneSocketAgent(socket);
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  // Bytes between two answers would be taken for the next answer.
  const unasked = (): void => {
    events.violated(new ProtocolViolation('sent something nobody asked for'));
  };
  socket.on('data', unasked);
  socket.on('close', () => {
    events.failed(new AgentUnreachable('the connection ended'));
  });
  const exchange = async (asked: Exchange): Promise<Answer> => {
    socket.off('data', unasked);
    const answer = await exchangeOn(agent, asked, events);
    // What came right behind the answer is in the buffer of the socket.
    if (socket.readableLength > 0) unasked();
    else if (!socket.destroyed) socket.on('data', unasked);
    return answer;
  };
  return {
    exchange: (asked) => {
      if (waiting >= maxWaiting) {
        return Promise.reject(new AgentUnreachable('too many requests wait for this agent'));
      }
      waiting += 1;
      const turn = last.then(() => exchange(asked));
      last = turn
        .catch(() => undefined)
        .finally(() => {
          waiting -= 1;
        });
      return turn;
    },
    // There is none in HTTP/1.1: heartbeats tell.
    ping: () => Promise.resolve(),
    destroy: () => {
      agent.destroy();
      socket.destroy();
    },
  };
}

async function exchangeOn(agent: Agent, exchange: Exchange, events: HttpEvents): Promise<Answer> {
  const { method, path, headers, body, timeoutMs } = exchange;
  const signal = AbortSignal.timeout(timeoutMs);
  const request = httpRequest({
    agent,
    method,
    path,
    host: 'agent',
    headers: { ...headers, ...(body === undefined ? {} : { 'content-length': body.length }) },
    maxHeaderSize: responseLimits.maxHeaderBytes,
    signal,
  });
  // Said at once: the socket is closed before anybody who waits hears of it.
  request.on('error', (error) => {
    const failure = asFailure(error);
    if (failure instanceof ProtocolViolation) events.violated(failure);
  });
  try {
    const answered = responseOf(request);
    request.end(body);
    const message = await answered;
    // A break behind the head is what reading the body rejects with.
    message.on('error', () => undefined);
    return await readAnswer(message.statusCode ?? 0, message.headers, message, exchange, signal);
  } catch (error) {
    request.destroy();
    if (signal.aborted) throw new AgentUnreachable(`no answer within ${String(timeoutMs)} ms`);
    throw asFailure(error);
  }
}

function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let informational = 0;
    request.on('error', reject);
    request.on('information', () => {
      informational += 1;
      if (informational <= maxInformational) return;
      reject(new ProtocolViolation('sends informational responses without end'));
    });
    request.once('upgrade', () => {
      reject(new ProtocolViolation('wants another protocol'));
    });
    request.once('response', resolve);
  });
}

function asFailure(cause: unknown): Error {
  if (cause instanceof AgentUnreachable || cause instanceof ProtocolViolation) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const code = 'code' in error ? String(error.code) : '';
  return code.startsWith('HPE_')
    ? new ProtocolViolation(`breaks HTTP/1.1: ${error.message}`, { cause })
    : new AgentUnreachable(error.message, { cause });
}

/** Has one connection and never makes another. */
class OneSocketAgent extends Agent {
  readonly #socket: OffloadSocket;
  #used = false;

  constructor(socket: OffloadSocket) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
    this.#socket = socket;
  }

  override createConnection(
    _options: object,
    done: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const lost = this.#used || this.#socket.destroyed;
    this.#used = true;
    // Node looks at the stream only without an error.
    done(lost ? new AgentUnreachable('the connection ended') : null, this.#socket);
  }
}

const maxWaiting = 64;
