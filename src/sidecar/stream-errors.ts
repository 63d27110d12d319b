import { ServiceError, type StatusName } from '../rpc/errors.ts';
import type { HandshakeFailure } from '../tls/config.ts';
import type { ReportedFailure } from './session-messages.ts';

/** What a caller gets to know about a failed handshake. */
export function reportOf(failure: HandshakeFailure): ReportedFailure {
  return {
    status: statusOf(failure.kind),
    reason: failure.reason,
    message: failure.message,
    handshake: failure,
  };
}

function statusOf(kind: HandshakeFailure['kind']): StatusName {
  switch (kind) {
    case 'peer':
    case 'peer_alert':
    case 'peer_closed':
      return 'ABORTED';
    case 'local':
      return 'INTERNAL';
  }
}

/** What ends the RPC after a failed handshake. */
export function errorOf(
  { status, reason, message }: ReportedFailure,
  handshakeId: string,
): ServiceError {
  return new ServiceError(status, reason, message, { handshakeId });
}

/** A refusal, with the handshake it belongs to. */
export function withHandshake(error: ServiceError, handshakeId: string): ServiceError {
  const { status, reason, message, retryAfterMs } = error;
  return new ServiceError(status, reason, message, { retryAfterMs, handshakeId });
}

/** A request that cannot come at this point. */
export function outOfOrder(message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', 'out_of_order', message);
}

/** A deadline of the stream is over. */
export function timedOut(reason: string, message: string): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', reason, message);
}

/** No new handshakes any more. */
export function draining(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'draining', 'the sidecar is shutting down', {
    retryAfterMs: 1000,
  });
}

/** Our own mistake; what it was is for the log. */
export function internalError(): ServiceError {
  return new ServiceError('INTERNAL', 'internal_error', 'the sidecar made a mistake');
}
