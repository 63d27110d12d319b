import { randomUUID } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import type { z } from 'zod';
import * as messages from '../../fleet/agent-api/messages.ts';
import { contentTypes, headerFields, type VerbName, verbs } from '../../fleet/agent-api/verbs.ts';
import { encodeBody, encodeJson } from '../../fleet/http/json-body.ts';
import type { Answer, Exchange } from './exchange.ts';
import { parseAnswer } from './parse-answer.ts';

/** What requests go over. */
export interface Exchanger {
  /** Rejects with `AgentUnreachable` or `ProtocolViolation`; both are the end of the connection. */
  exchange(exchange: Exchange): Promise<Answer>;
  /** Ends the connection if what was wrong with an answer is a `ProtocolViolation`. */
  violated(error: unknown): void;
}

/**
 * Everything a manager asks of an agent, over one connection. All methods reject with `AgentRefusal`,
 * `AgentUnreachable` or `ProtocolViolation`.
 */
export class AgentClient {
  readonly #exchanger: Exchanger;

  constructor(exchanger: Exchanger) {
    this.#exchanger = exchanger;
  }

  hello(): Promise<messages.Hello> {
    return this.#ask('hello', messages.hello, {});
  }

  /** `bundle` stays the caller's, who wipes it. */
  activate(bundle: Uint8Array, idempotencyKey: string): Promise<messages.Activated> {
    const body = { bytes: bundle, type: contentTypes.bundle };
    return this.#ask('activate', messages.activated, {
      ...body,
      idempotencyKey,
      timeoutMs: slowMs,
    });
  }

  heartbeat(now: Date, timeoutMs: number): Promise<messages.Heartbeat> {
    const json = { managerTime: now.toISOString() };
    return this.#ask('heartbeat', messages.heartbeat, { json, timeoutMs });
  }

  status(): Promise<messages.Status> {
    return this.#ask('status', messages.status, { maxInflatedBytes: 8 * mebibyte });
  }

  /** Acknowledges all up to `after`. */
  events(after: number, max: number): Promise<messages.Events> {
    const query = `?after=${String(after)}&max=${String(max)}`;
    return this.#ask('events', messages.events, { query, maxInflatedBytes: 16 * mebibyte });
  }

  recipient(): Promise<messages.Recipient> {
    return this.#ask('recipient', messages.recipient, {});
  }

  configure(sealed: Uint8Array): Promise<messages.Configured> {
    const body = { bytes: sealed, type: contentTypes.configuration };
    return this.#ask('configure', messages.configured, { ...body, timeoutMs: slowMs });
  }

  effective(): Promise<messages.Effective> {
    return this.#ask('effective', messages.effective, { maxInflatedBytes: 8 * mebibyte });
  }

  operate(
    name: string,
    args: Readonly<Record<string, string>>,
    idempotencyKey: string,
  ): Promise<messages.Operation> {
    const json = { arguments: args };
    return this.#ask('operate', messages.operation, { segment: name, json, idempotencyKey });
  }

  operation(id: string): Promise<messages.Operation> {
    return this.#ask('operation', messages.operation, { segment: id });
  }

  mode(request: messages.ModeRequest): Promise<z.output<typeof messages.modeAnswer>> {
    return this.#ask('mode', messages.modeAnswer, { json: request });
  }

  rotate(): Promise<z.output<typeof messages.rotated>> {
    return this.#ask('rotate', messages.rotated, { timeoutMs: slowMs });
  }

  deactivate(): Promise<z.output<typeof messages.deactivated>> {
    return this.#ask('deactivate', messages.deactivated, {});
  }

  async #ask<Schema extends z.ZodType>(
    name: VerbName,
    schema: Schema,
    options: AskOptions,
  ): Promise<z.output<Schema>> {
    const { method, path } = verbs[name];
    const { segment = '', query = '', idempotencyKey } = options;
    const { timeoutMs = 30_000, maxInflatedBytes = mebibyte } = options;
    const encoded = await encode(options);
    const headers: OutgoingHttpHeaders = {
      accept: contentTypes.json,
      'accept-encoding': 'gzip',
      [headerFields.requestId]: randomUUID(),
      [headerFields.deadlineMs]: String(timeoutMs),
      ...(idempotencyKey === undefined ? {} : { [headerFields.idempotencyKey]: idempotencyKey }),
      ...encoded?.headers,
    };
    const answer = await this.#exchanger.exchange({
      method,
      path: path.replace(/\{[a-z]+\}/u, () => encodeURIComponent(segment)) + query,
      headers,
      body: encoded?.bytes,
      timeoutMs,
      maxInflatedBytes,
    });
    try {
      return parseAnswer(answer, schema);
    } catch (error) {
      this.#exchanger.violated(error);
      throw error;
    }
  }
}

interface AskOptions {
  /** In the place of `{…}` in the path. */
  readonly segment?: string;
  readonly query?: string;
  readonly json?: object;
  readonly bytes?: Uint8Array;
  readonly type?: string;
  readonly idempotencyKey?: string;
  readonly timeoutMs?: number;
  readonly maxInflatedBytes?: number;
}

async function encode({ json, bytes, type = contentTypes.json }: AskOptions) {
  if (bytes !== undefined) return await encodeBody(bytes, type);
  return json === undefined ? undefined : await encodeJson(json);
}

const mebibyte = 1024 * 1024;
/** For what needs an authority, or a program on the agent's host. */
const slowMs = 90_000;
