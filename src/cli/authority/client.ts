import { setTimeout as delay } from 'node:timers/promises';
import { GrpcChannel } from '../../rpc/client/grpc-channel.ts';
import { GrpcStatus, GrpcStatusError } from '../../rpc/client/grpc-status.ts';
import { unary, type UnaryMethod } from '../../rpc/client/unary.ts';
import { dialService, type ServiceAddress } from '../dial-service.ts';
import { followMessages } from './message-stream.ts';

/** The authority could not be asked, or said no. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
  /** Stable, for programs. */
  readonly reason: string | undefined;

  constructor(message: string, reason?: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Calls of one command; {@link AuthorityClient.close} ends its connection. */
export interface AuthorityClient {
  /** @throws AuthorityError */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
  ): Promise<Response>;
  /** @throws AuthorityError */
  stream<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
  ): AsyncIterable<Response>;
  close(): Promise<void>;
}

/** Connects when the first call is made. */
export function connectAuthority(address: ServiceAddress): AuthorityClient {
  const channel = new GrpcChannel({
    connect: () => dialService(address, { role: 'authority', protocol: 'h2' }),
    closedError: () => new AuthorityError('the connection to the authority is closed'),
    peer: 'authority',
    maxMessageBytes,
  });
  return {
    async call(method, request) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await unary(channel, method, request, { timeoutMs: callTimeoutMs });
        } catch (error) {
          if (attempt === maxAttempts || !isWorthAskingAgain(error)) throw asAuthorityError(error);
        }
        await delay(attempt * pauseMs);
      }
    },
    async *stream(method, request) {
      try {
        yield* followMessages(channel, method, request);
      } catch (error) {
        throw asAuthorityError(error);
      }
    },
    close: () => channel.close(),
  };
}

/** Runs one command against an authority and hangs up. */
export async function withAuthority<Result>(
  address: ServiceAddress,
  work: (client: AuthorityClient) => Promise<Result>,
): Promise<Result> {
  const client = connectAuthority(address);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** The same request again has the same idempotency key: it is answered, and done at most once. */
function isWorthAskingAgain(error: unknown): boolean {
  if (!(error instanceof GrpcStatusError)) return false;
  return ['outcome_unknown', 'idempotency_key_in_use'].includes(error.advice.reason ?? '');
}

function asAuthorityError(error: unknown): unknown {
  if (!(error instanceof GrpcStatusError)) return error;
  if (error.code === GrpcStatus.unimplemented) {
    return new AuthorityError('the authority is older than this command', 'unimplemented');
  }
  const message = error.details === '' ? error.message : error.details;
  return new AuthorityError(message, error.advice.reason, { cause: error });
}

const maxMessageBytes = 8 * 1024 * 1024;
/** Verifying a long audit log takes its time. */
const callTimeoutMs = 120_000;
const maxAttempts = 3;
const pauseMs = 200;
