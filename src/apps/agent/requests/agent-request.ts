import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { contentTypes, headerFields } from '../../fleet/agent-api/verbs.ts';
import { requestLimits } from '../../fleet/agent-api/limits.ts';
import { decodeJson, describeIssues, requireContentType } from '../../fleet/http/json-body.ts';
import { readBody } from '../../fleet/http/read-body.ts';
import { AgentError } from '../agent-error.ts';
import type { ManagerConnection } from '../connections/manager-connection.ts';
import type { Route } from './route.ts';

/** One request, as the verbs see it. */
export class AgentRequest {
  readonly route: Route;
  readonly connection: ManagerConnection;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  readonly #headers: IncomingHttpHeaders;
  readonly #stream: Readable;

  constructor(
    route: Route,
    connection: ManagerConnection,
    { headers, stream }: { readonly headers: IncomingHttpHeaders; readonly stream: Readable },
    signal: AbortSignal,
  ) {
    this.route = route;
    this.connection = connection;
    this.signal = signal;
    this.#headers = headers;
    this.#stream = stream;
  }

  /** Stands for one thing to be done, however often it is asked for. Throws {@link AgentError} without one. */
  get idempotencyKey(): string {
    const key = this.#headers[headerFields.idempotencyKey];
    if (typeof key === 'string' && keyForm.test(key)) return key;
    throw new AgentError(
      'malformed_request',
      `${headerFields.idempotencyKey} is needed: 1 to 128 of A-Z a-z 0-9 . _ : -`,
    );
  }

  /** The body as JSON that fits a schema. Rejects with `BodyError`. */
  async json<Schema extends z.ZodType>(schema: Schema): Promise<z.output<Schema>> {
    requireContentType(this.#headers, contentTypes.json);
    return decodeJson(await this.#body(false), schema);
  }

  /** The body in memory of the caller's own; `secret`: there is no other copy of ours. */
  async bytes(contentType: string, { secret }: { readonly secret: boolean }): Promise<Buffer> {
    requireContentType(this.#headers, contentType);
    return await this.#body(secret);
  }

  /** The query as a schema has it. Throws {@link AgentError}. */
  query<Schema extends z.ZodType>(schema: Schema): z.output<Schema> {
    const parsed = schema.safeParse(this.route.query);
    if (parsed.success) return parsed.data;
    throw new AgentError('malformed_request', `query: ${describeIssues(parsed.error.issues)}`);
  }

  #body(secret: boolean): Promise<Buffer> {
    return readBody(this.#stream, this.#headers, requestLimits, { signal: this.signal, secret });
  }
}

const keyForm = /^[A-Za-z0-9._:-]{1,128}$/u;
