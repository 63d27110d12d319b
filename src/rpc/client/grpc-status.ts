/** Status a call ended with, by gRPC's numbers. */
export const GrpcStatus = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** What our services add to a status that is not OK. */
export interface GrpcStatusAdvice {
  /** Stable identifier for programs. */
  readonly reason?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly handshakeId?: string | undefined;
}

/** A call ended; `code` 0 is an end in order. */
export class GrpcStatusError extends Error {
  override readonly name = 'GrpcStatusError';
  readonly code: number;
  readonly details: string;
  readonly advice: GrpcStatusAdvice;

  constructor(code: number, details: string, options?: ErrorOptions & GrpcStatusAdvice) {
    super(`gRPC status ${String(code)}${details === '' ? '' : `: ${details}`}`, options);
    this.code = code;
    this.details = details;
    this.advice = {
      reason: options?.reason,
      retryAfterMs: options?.retryAfterMs,
      handshakeId: options?.handshakeId,
    };
  }
}
