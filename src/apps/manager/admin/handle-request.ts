import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { headerFields } from '../../fleet/agent-api/verbs.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { decodeJson, requireContentType } from '../../fleet/http/json-body.ts';
import { contentTypes } from '../../fleet/agent-api/verbs.ts';
import { readBody } from '../../fleet/http/read-body.ts';
import { gzipBytes } from '../../fleet/http/gzip.ts';
import type { Administration } from './administration.ts';
import { AdministrationError } from './administration-error.ts';
import type { Administrators } from './administrators.ts';
import { answer } from './answer.ts';
import { refuseForeignPages } from './browsers.ts';
import { renderPage } from './pages.ts';
import { matchRoute } from './route.ts';

export interface AdminHandlerOptions {
  readonly administration: Administration;
  readonly administrators: Administrators;
  /** What requests may call this manager, besides addresses; lower case. */
  readonly names: ReadonlySet<string>;
  readonly now: () => Date;
  readonly log: Logger;
}

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers one request of an administrator. Never rejects: what goes wrong is answered, and said in the log. */
export async function handleRequest(
  options: AdminHandlerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answered = await answerOf(options, request);
  if (response.destroyed) return;
  // What is left of a body that was not read cannot be told from the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  const compress = answered.body.length > worthwhileBytes && acceptsGzip(request);
  const bytes = compress ? await gzipBytes(Buffer.from(answered.body)) : Buffer.from(answered.body);
  response.writeHead(answered.status, {
    ...answered.headers,
    ...(compress ? { 'content-encoding': 'gzip' } : {}),
    'content-length': bytes.length,
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

async function answerOf(options: AdminHandlerOptions, request: IncomingMessage): Promise<Answered> {
  const { administration, administrators, log, now } = options;
  const { method = '', url = '' } = request;
  let actor: string | undefined;
  try {
    actor = administrators.actorOf(request);
    refuseForeignPages(request, options.names);
    const page = method === 'GET' ? await renderPage(administration, url, now()) : undefined;
    if (page !== undefined) return { status: 200, ...page };
    const result = await answerApi(options, request, actor);
    if (method !== 'GET') log.info({ actor, method, path: pathOf(url) }, 'order carried out');
    return json(200, result);
  } catch (error) {
    const refusal = refusalOf(error);
    const facts = { actor, method, path: pathOf(url), code: refusal.code };
    if (refusal.code === 'internal') log.error({ ...facts, err: error }, 'order failed');
    else log.warn({ ...facts, problem: refusal.message }, 'order refused');
    return json(refusal.status, { error: { code: refusal.code, message: refusal.message } });
  }
}

async function answerApi(
  { administration }: AdminHandlerOptions,
  request: IncomingMessage,
  actor: string,
): Promise<unknown> {
  const { headers } = request;
  const matched = matchRoute(request.method ?? '', request.url ?? '');
  const order = { actor, idempotencyKey: idempotencyKeyOf(headers[headerFields.idempotencyKey]) };
  const signal = AbortSignal.timeout(bodyTimeoutMs);
  return await answer(administration, {
    ...matched,
    order,
    json: async (schema) => {
      requireContentType(headers, contentTypes.json);
      return decodeJson(await readBody(request, headers, limits, { signal }), schema);
    },
    bytes: async (contentType) => {
      const bytes = await readBody(request, headers, limits, { signal, secret: true });
      if (bytes.length === 0) return undefined;
      requireContentType(headers, contentType);
      return bytes;
    },
  });
}

function idempotencyKeyOf(value: string | string[] | undefined): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && /^[\x21-\x7e]{1,128}$/u.test(value)) return value;
  throw new AdministrationError(
    'malformed_request',
    'idempotency-key has 1 to 128 visible characters',
  );
}

function refusalOf(error: unknown): AdministrationError {
  if (error instanceof AdministrationError) return error;
  if (error instanceof BodyError) return new AdministrationError(error.code, error.message);
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new AdministrationError('deadline_exceeded', 'the body did not come in time');
  }
  return new AdministrationError('internal', 'something went wrong here; the log has it');
}

function json(status: number, body: unknown): Answered {
  return {
    status,
    headers: { 'content-type': contentTypes.json, 'cache-control': 'no-store' },
    body: JSON.stringify(body),
  };
}

/** Without its query, which may name what somebody looks for. */
function pathOf(url: string): string {
  return (url.split('?', 1)[0] ?? '').slice(0, 200);
}

function acceptsGzip({ headers }: IncomingMessage): boolean {
  return /\bgzip\b/u.test(headers['accept-encoding'] ?? '');
}

/** Of an order; a configuration is the largest. */
const limits = { maxWireBytes: 4 * 1024 * 1024, maxInflatedBytes: 8 * 1024 * 1024 };
const bodyTimeoutMs = 30_000;
const worthwhileBytes = 1024;
