import { Metadata, status as GrpcStatus } from '@grpc/grpc-js';

/** gRPC status codes our services answer with, by name. */
export type StatusName =
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'UNAUTHENTICATED'
  | 'CANCELLED';

/** What travels beside the status code. */
export interface ServiceErrorDetails {
  /** When to try again; zero or absent: no advice. */
  readonly retryAfterMs?: number;
  /** Handshake the error belongs to. */
  readonly handshakeId?: string;
}

/**
 * A refusal by one of our services: a status code for gRPC, a stable reason in lower_snake_case for
 * programs, and one sentence for a person. None of them holds a secret.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly status: StatusName;
  readonly reason: string;
  readonly retryAfterMs: number;
  readonly handshakeId: string | undefined;

  constructor(
    status: StatusName,
    reason: string,
    message: string,
    details: ServiceErrorDetails = {},
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = details.retryAfterMs ?? 0;
    this.handshakeId = details.handshakeId;
  }
}

/** Whether somebody was refused for who he is. */
export function isDenial({ status }: ServiceError): boolean {
  return status === 'PERMISSION_DENIED' || status === 'UNAUTHENTICATED';
}

/** Number of a status name, as it goes on the wire. */
export function statusCode(name: StatusName): number {
  return GrpcStatus[name];
}

/** What gRPC sends at the end of a call. */
export interface RpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** What ends an RPC with an error: reason and advice go into trailing metadata. */
export function toStatus(error: ServiceError): RpcStatus {
  const metadata = new Metadata();
  metadata.set(reasonKey, error.reason);
  if (error.retryAfterMs > 0) metadata.set(retryAfterKey, String(error.retryAfterMs));
  if (error.handshakeId !== undefined) metadata.set(handshakeIdKey, error.handshakeId);
  return { code: statusCode(error.status), details: error.message, metadata };
}

/**
 * A status received from one of our services. A code we never send, and a reason that was not
 * given, read as what gRPC itself reports: `UNAVAILABLE`, `unknown`.
 */
export function fromStatus(status: {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Metadata;
}): ServiceError {
  const handshakeId = text(status.metadata, handshakeIdKey);
  return new ServiceError(
    statusNames.get(status.code) ?? 'UNAVAILABLE',
    text(status.metadata, reasonKey) ?? 'unknown',
    status.details,
    {
      retryAfterMs: Number(text(status.metadata, retryAfterKey) ?? 0) || 0,
      ...(handshakeId === undefined ? {} : { handshakeId }),
    },
  );
}

function text(metadata: Metadata | undefined, key: string): string | undefined {
  const value = metadata?.get(key)[0];
  return typeof value === 'string' ? value : undefined;
}

const reasonKey = 'sidekey-reason';
const retryAfterKey = 'sidekey-retry-after-ms';
const handshakeIdKey = 'sidekey-handshake-id';

const statusNames = new Map<number, StatusName>(
  (
    [
      'INVALID_ARGUMENT',
      'DEADLINE_EXCEEDED',
      'NOT_FOUND',
      'PERMISSION_DENIED',
      'RESOURCE_EXHAUSTED',
      'FAILED_PRECONDITION',
      'ABORTED',
      'INTERNAL',
      'UNAVAILABLE',
      'UNAUTHENTICATED',
      'CANCELLED',
    ] as const
  ).map((name) => [GrpcStatus[name], name]),
);
