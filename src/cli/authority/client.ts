import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { createOffload, type OffloadOptions, type OffloadSocket } from '../../offload/index.ts';
import { parseSpiffeId } from '../../pki/index.ts';
import { GrpcChannel } from '../../rpc/client/grpc-channel.ts';
import { GrpcStatus, GrpcStatusError } from '../../rpc/client/grpc-status.ts';
import { unary, type UnaryMethod } from '../../rpc/client/unary.ts';
import { followMessages } from './message-stream.ts';

/** Where an authority is administered. */
export type AuthorityAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** SPIFFE ID the authority must prove; absent: a certificate for `host`. */
      readonly spiffeId: string | undefined;
      /** The sidecar with our identity of role `operator`. */
      readonly sidecar: OffloadOptions;
    };

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
export function connectAuthority(address: AuthorityAddress): AuthorityClient {
  const channel = new GrpcChannel({
    connect: () => (address.kind === 'unix' ? dialUnix(address.path) : dialTls(address)),
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
  address: AuthorityAddress,
  work: (client: AuthorityClient) => Promise<Result>,
): Promise<Result> {
  const client = connectAuthority(address);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

async function dialUnix(path: string): Promise<Duplex> {
  return await new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      resolve(socket);
    });
    const failed = (cause: Error): void => {
      const message = `no authority answers at unix:${path}: ${cause.message}`;
      reject(new AuthorityError(message, 'authority_unreachable', { cause }));
    };
    socket.once('error', failed);
  });
}

/** Mutual TLS with the operator's certificate; its key stays in the sidecar. */
async function dialTls(address: AuthorityAddress & { kind: 'tcp' }): Promise<Duplex> {
  const offload = createOffload(address.sidecar);
  const socket = offload.connect({
    host: address.host,
    port: address.port,
    ALPNProtocols: ['h2'],
    ...(address.spiffeId === undefined ? {} : { targetIdentities: [address.spiffeId] }),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    requireAuthority(socket);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    // Established connections do not need the sidecar any more.
    await offload.close();
  }
}

/** A certificate of the fleet is not enough: whoever has the name may be any host. */
function requireAuthority({ peerIdentity, localIdentity }: OffloadSocket): void {
  const peer = parseSpiffeId(peerIdentity ?? '');
  const own = parseSpiffeId(localIdentity ?? '');
  if (peer?.path.startsWith('/authority/') === true && peer.trustDomain === own?.trustDomain) {
    return;
  }
  throw new AuthorityError(
    `${peerIdentity ?? 'the peer'} is no authority of ${own?.trustDomain ?? 'our trust domain'}`,
    'not_the_authority',
  );
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
