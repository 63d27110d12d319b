import { alertName } from '../tls/alert.ts';
import { OffloadError, OffloadErrorCode, type OffloadErrorDetails } from './errors.ts';
import { GrpcStatus, type GrpcStatusError } from './grpc-channel.ts';
import type { SidecarFailure } from './sidecar-messages.ts';

/** The error an application sees for what the sidecar said. */
export function failureToError(
  failure: SidecarFailure,
  handshakeId: string | undefined,
  cause?: unknown,
): OffloadError {
  const alert =
    failure.alertFrom === undefined || failure.alert === undefined
      ? undefined
      : alertName(failure.alert);
  const code = codeFor(failure);
  return new OffloadError(code, sentence(failure, alert), {
    phase: sidecarCodes.has(code) ? 'sidecar' : 'handshake',
    alert,
    handshakeId,
    reason: failure.reason,
    retryAfterMs: failure.retryAfterMs,
    cause,
  });
}

/** The error an application sees when a call ended where an answer was due. */
export function statusToError(
  status: GrpcStatusError,
  handshakeId: string | undefined,
): OffloadError {
  const { code, details, advice } = status;
  return failureToError(
    {
      // An end in order without an answer is the sidecar's fault all the same.
      code: code === GrpcStatus.ok ? GrpcStatus.unavailable : code,
      details: details === '' ? 'sidecar ended the call without an answer' : details,
      reason: advice.reason,
      alert: undefined,
      alertFrom: undefined,
      state: undefined,
      retryAfterMs: advice.retryAfterMs,
    },
    handshakeId ?? advice.handshakeId,
    status,
  );
}

/** The handshake took longer than it may. */
export function handshakeTimeout(ms: number, cause?: unknown): OffloadError {
  return new OffloadError(
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    `TLS handshake took more than ${String(ms)} ms`,
    {
      phase: 'handshake',
      reason: 'handshake_timeout',
      cause,
    },
  );
}

/** The connection went away before it was secure; the code is the one `node:tls` uses. */
export function disconnected(details: OffloadErrorDetails = {}): OffloadError {
  return new OffloadError(
    'ECONNRESET',
    'peer disconnected before the secure TLS connection was established',
    { phase: 'handshake', ...details },
  );
}

function sentence(failure: SidecarFailure, alert: string | undefined): string {
  const what = failure.details === '' ? 'handshake failed' : failure.details;
  if (alert === undefined || what.includes(alert)) return what;
  return failure.alertFrom === 'peer'
    ? `${what} (peer sent alert ${alert})`
    : `${what} (alert ${alert} was sent)`;
}

function codeFor(failure: SidecarFailure): string {
  const byReason = failure.reason === undefined ? undefined : codesByReason.get(failure.reason);
  if (byReason !== undefined) return byReason;
  // An alert was exchanged: whatever the status says, the peer was talked to.
  if (failure.alertFrom !== undefined) return OffloadErrorCode.handshake;
  return codesByStatus.get(failure.code) ?? OffloadErrorCode.handshake;
}

/** Reasons of the sidecar for which Node has a code people already handle. */
const codesByReason = new Map<string, string>([
  ['peer_certificate_expired', 'CERT_HAS_EXPIRED'],
  ['peer_certificate_not_yet_valid', 'CERT_NOT_YET_VALID'],
  ['issuer_certificate_expired', 'CERT_HAS_EXPIRED'],
  ['issuer_certificate_not_yet_valid', 'CERT_NOT_YET_VALID'],
  ['certificate_revoked', 'CERT_REVOKED'],
  ['unknown_issuer', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ['path_length_exceeded', 'PATH_LENGTH_EXCEEDED'],
  ['name_mismatch', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ['peer_identity_mismatch', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ['peer_silent', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
  ['handshake_timeout', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
  ['peer_closed', 'ECONNRESET'],
]);

const codesByStatus = new Map<number, string>([
  [GrpcStatus.cancelled, OffloadErrorCode.unavailable],
  [GrpcStatus.invalidArgument, OffloadErrorCode.policy],
  [GrpcStatus.deadlineExceeded, 'ERR_TLS_HANDSHAKE_TIMEOUT'],
  [GrpcStatus.notFound, OffloadErrorCode.policy],
  [GrpcStatus.permissionDenied, OffloadErrorCode.denied],
  [GrpcStatus.resourceExhausted, OffloadErrorCode.overloaded],
  [GrpcStatus.failedPrecondition, OffloadErrorCode.policy],
  [GrpcStatus.unimplemented, OffloadErrorCode.unavailable],
  [GrpcStatus.unavailable, OffloadErrorCode.unavailable],
  [GrpcStatus.unauthenticated, OffloadErrorCode.unauthenticated],
]);

const sidecarCodes = new Set<string>([
  OffloadErrorCode.unavailable,
  OffloadErrorCode.unauthenticated,
  OffloadErrorCode.denied,
  OffloadErrorCode.overloaded,
  OffloadErrorCode.policy,
]);
