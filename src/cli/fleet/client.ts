import { Agent, request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import type { z } from 'zod';
import { errorBody } from '../../apps/fleet/agent-api/messages.ts';
import { dialService, type ServiceAddress } from '../dial-service.ts';

/** The manager could not be asked, or said no. */
export class ManagerError extends Error {
  override readonly name = 'ManagerError';
  /** Stable, for programs. */
  readonly reason: string | undefined;

  constructor(message: string, reason?: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

export interface FleetRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** With its query. */
  readonly path: string;
  /** JSON, or bytes of another type. */
  readonly body?: object | { readonly type: string; readonly bytes: Uint8Array };
  /** Has the change done once, however often it is asked for. */
  readonly idempotencyKey?: string;
}

/** Calls of one command, one after the other on one connection. */
export interface FleetClient {
  /** Rejects with {@link ManagerError}. */
  call<Schema extends z.ZodType>(request: FleetRequest, answer: Schema): Promise<z.output<Schema>>;
}

/** Runs one command against a manager and hangs up. */
export async function withManager<Result>(
  address: ServiceAddress,
  work: (client: FleetClient) => Promise<Result>,
): Promise<Result> {
  const agent = new OneConnection(address);
  try {
    return await work({ call: (request, answer) => call(agent, request, answer) });
  } finally {
    agent.destroy();
  }
}

async function call<Schema extends z.ZodType>(
  agent: OneConnection,
  request: FleetRequest,
  answer: Schema,
): Promise<z.output<Schema>> {
  const { status, body } = await exchange(agent, request);
  const value = parseJson(body);
  if (status >= 200 && status < 300) {
    const parsed = answer.safeParse(value);
    if (parsed.success) return parsed.data;
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new ManagerError(
      `the manager's answer is not understood, at "${where}": another version?`,
    );
  }
  const refusal = errorBody.safeParse(value);
  if (!refusal.success) throw new ManagerError(`the manager answered ${String(status)}`);
  throw new ManagerError(refusal.data.error.message, refusal.data.error.code);
}

async function exchange(
  agent: OneConnection,
  { method, path, body, idempotencyKey }: FleetRequest,
): Promise<{ readonly status: number; readonly body: string }> {
  const content = body === undefined ? undefined : encode(body);
  return await new Promise((resolve, reject) => {
    const request = httpRequest({
      agent,
      method,
      path,
      host: 'manager',
      timeout: timeoutMs,
      headers: {
        ...(content === undefined
          ? {}
          : { 'content-type': content.type, 'content-length': content.bytes.length }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
    });
    request.once('timeout', () => {
      request.destroy(new ManagerError('the manager does not answer', 'manager_silent'));
    });
    request.once('error', reject);
    request.once('response', (response) => {
      readText(response).then((answer) => {
        resolve({ status: response.statusCode ?? 0, body: answer });
      }, reject);
    });
    request.end(content?.bytes);
  });
}

function encode(body: NonNullable<FleetRequest['body']>): { type: string; bytes: Uint8Array } {
  if ('bytes' in body && body.bytes instanceof Uint8Array && 'type' in body) {
    return { type: body.type, bytes: body.bytes };
  }
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(body)) };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Node's HTTP client over a connection we dial; the manager is told apart before anything is sent to it. */
class OneConnection extends Agent {
  readonly #address: ServiceAddress;

  constructor(address: ServiceAddress) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#address = address;
  }

  override createConnection(
    _options: object,
    done: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    dialService(this.#address, { role: 'manager', protocol: 'http/1.1' }).then(
      (stream) => {
        done(null, stream);
      },
      (error: unknown) => {
        // Node looks at the stream only without an error; its type wants one.
        (done as (error: unknown) => void)(error);
      },
    );
  }
}

const timeoutMs = 120_000;
