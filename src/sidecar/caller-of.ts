import type { Metadata } from '@grpc/grpc-js';
import { ServiceError } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import { type Caller, type CallerPolicy, presentedTokens } from './callers.ts';

/** Finds the connection of a call by what gRPC calls its peer. */
export type FindConnection = (peer: string) => Connection<CallerPolicy> | undefined;

/** What a call says of whoever makes it. */
export interface IncomingCall {
  readonly metadata: Metadata;
  getPeer(): string;
}

/** Who makes a call, by his connection and the tokens in its metadata. Throws `ServiceError`. */
export function callerOf(call: IncomingCall, find: FindConnection): Caller {
  const connection = connectionOf(call, find);
  const tokens = call.metadata
    .get('authorization')
    .flatMap((value) => (typeof value === 'string' ? (bearer.exec(value)?.[1] ?? []) : []));
  return connection.listener.identify(connection.credentials, presentedTokens(tokens));
}

/** The connection a call came in on. Throws `ServiceError`. */
export function connectionOf(call: IncomingCall, find: FindConnection): Connection<CallerPolicy> {
  const connection = find(call.getPeer());
  if (connection !== undefined) return connection;
  throw new ServiceError('UNAUTHENTICATED', 'caller_unknown', 'caller is not known');
}

/** RFC 6750 §2.1. */
const bearer = /^Bearer ([\x21-\x7e]+)$/iu;
