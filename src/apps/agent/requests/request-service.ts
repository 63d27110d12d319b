import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { AgentState } from '../../fleet/agent-api/messages.ts';
import { requestLimits } from '../../fleet/agent-api/limits.ts';
import { headerFields, type VerbName, verbs } from '../../fleet/agent-api/verbs.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { encodeJson, type EncodedBody } from '../../fleet/http/json-body.ts';
import { AgentError } from '../agent-error.ts';
import type { ManagerConnection } from '../connections/manager-connection.ts';
import type { Surroundings } from '../surroundings.ts';
import { AgentRequest } from './agent-request.ts';
import { RequestGate } from './request-gate.ts';
import { type Route, routeOf } from './route.ts';

/** Answers one verb with the body of its answer; rejects with {@link AgentError} or `BodyError`. */
export type Handler = (request: AgentRequest) => Promise<unknown>;

export interface RequestServiceOptions {
  readonly surroundings: Surroundings;
  readonly state: () => AgentState;
  readonly handlers: Readonly<Record<VerbName, Handler>>;
  /** The same request again is answered again, in whatever state it has led to. */
  readonly isRepeated: (request: AgentRequest) => boolean;
  /** Called once an answer has been handed over to the connection. */
  readonly answered: (verb: VerbName) => void;
  /** Absent: as the contract has it. */
  readonly timeoutMs?: number;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** Requests of managers, one by one: bounded, checked, answered, and told of in the log. */
export class RequestService {
  readonly #options: RequestServiceOptions;
  readonly #gate = new RequestGate(requestLimits.maxConcurrent);

  constructor(options: RequestServiceOptions) {
    this.#options = options;
  }

  /** Never rejects: what goes wrong is answered, and said in the log. */
  handle(request: Request, response: Response, connection: ManagerConnection): void {
    const leave = this.#gate.enter();
    connection.requestBegan();
    let over = false;
    response.once('close', () => {
      if (!over) connection.requestEnded();
      over = true;
      leave?.();
    });
    request.on('error', ignore);
    response.on('error', ignore);
    void this.#answer(request, response, connection, leave !== undefined);
  }

  async #answer(
    request: Request,
    response: Response,
    connection: ManagerConnection,
    admitted: boolean,
  ): Promise<void> {
    const { log, now } = this.#options.surroundings;
    const began = now().getTime();
    const requestId = headerText(request.headers, headerFields.requestId);
    const facts = { manager: connection.manager.text, requestId, method: request.method };
    const watch = new Waiting(response, this.#deadlineMs(request.headers));
    let verb: VerbName | undefined;
    try {
      if (!admitted) throw new AgentError('too_many_requests', 'too many requests at once');
      requireHost(request);
      const route = routeOf(request.method ?? '', request.url ?? '');
      verb = route.verb;
      const body = await watch.race(this.#run(route, request, connection, watch.signal));
      await send(response, 200, await encodeJson(body));
      const level = verbs[verb].method === 'GET' || verb === 'heartbeat' ? 'debug' : 'info';
      log[level]({ ...facts, verb, ms: now().getTime() - began }, 'request answered');
    } catch (error) {
      const refusal = refusalOf(error);
      const { code, message, status } = refusal;
      const line = { ...facts, verb, code, problem: message };
      if (code === 'internal') log.error({ ...line, err: error }, 'request failed');
      else log.warn(line, 'request refused');
      await send(
        response,
        status,
        await encodeJson({ error: { code, message } }),
        !request.complete,
      );
    } finally {
      watch.end();
      if (verb !== undefined) this.#options.answered(verb);
    }
  }

  async #run(
    route: Route,
    request: Request,
    connection: ManagerConnection,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { state, handlers, isRepeated } = this.#options;
    const one = new AgentRequest(
      route,
      connection,
      { headers: request.headers, stream: request },
      signal,
    );
    const verb = verbs[route.verb];
    const states: readonly AgentState[] = verb.states;
    if (connection.ending) throw new AgentError('unavailable', 'this connection is ending');
    const allowed = connection.identity.stage === 'enrolled' || stagesBefore.has(route.verb);
    if ((!states.includes(state()) || !allowed) && !isRepeated(one)) {
      throw new AgentError('not_in_this_state', `${verb.name} is not answered while ${state()}`);
    }
    return await handlers[route.verb](one);
  }

  #deadlineMs(headers: IncomingHttpHeaders): number {
    const most = this.#options.timeoutMs ?? requestLimits.timeoutMs;
    const asked = Number(headerText(headers, headerFields.deadlineMs) ?? most);
    return Number.isInteger(asked) && asked >= 1 ? Math.min(asked, most) : most;
  }
}

/** How long somebody waits for an answer. */
class Waiting {
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #response: Response;
  readonly #gone = (): void => {
    this.#stop.abort(new AgentError('unavailable', 'nobody waits for the answer'));
  };

  constructor(response: Response, ms: number) {
    this.#response = response;
    response.once('close', this.#gone);
    this.#timer = setTimeout(() => {
      this.#stop.abort(new AgentError('deadline_exceeded', `not done within ${String(ms)} ms`));
    }, ms);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** As the task does, or with the reason once nobody waits; the task may go on. */
  race<T>(task: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as AgentError);
      });
      task.then(resolve, reject);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#response.off('close', this.#gone);
  }
}

function refusalOf(error: unknown): AgentError {
  if (error instanceof AgentError) return error;
  if (error instanceof BodyError) return new AgentError(error.code, error.message, error);
  return new AgentError('internal', 'something went wrong here; the log has it', error);
}

/** @param closes - the request was not read to its end, and will not be */
async function send(
  response: Response,
  status: number,
  { bytes, headers }: EncodedBody,
  closes = false,
): Promise<void> {
  if (response.destroyed || response.writableEnded) return;
  const isHttp1 = response.req.httpVersionMajor === 1;
  const all = {
    ...headers,
    'cache-control': 'no-store',
    ...(closes && isHttp1 ? { connection: 'close' } : {}),
  };
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    // The two have the same two methods, whose types differ.
    (response as ServerResponse).writeHead(status, all);
    (response as ServerResponse).end(bytes, resolve);
  });
  // HTTP/2: what is still coming is not wanted (RFC 9113 §8.1).
  if (closes && 'stream' in response) response.stream.close();
}

function headerText(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && /^[\x21-\x7e]{1,128}$/u.test(value) ? value : undefined;
}

/** RFC 9112 §3.2; whose name it is does not matter here. */
function requireHost({ httpVersionMajor, headers }: Request): void {
  if (httpVersionMajor !== 1 || headers.host !== undefined) return;
  throw new AgentError('malformed_request', 'no host is given');
}

function ignore(): void {
  // It ended early: whoever waits hears of it by the close.
}

/** What is answered before the handshake has proved that both are of one authority. */
const stagesBefore: ReadonlySet<VerbName> = new Set(['health', 'hello', 'activate']);
