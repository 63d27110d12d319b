import { GrpcStatus, GrpcStatusError } from '../rpc/client/grpc-status.ts';
import { IssuedError } from './issued-certificates.ts';
import { TrustBundleError } from './trust-bundle.ts';

/** Why something asked of an authority did not come about. */
export interface AuthorityFailure {
  /** One clause for a person. */
  readonly message: string;
  /** Stable, for programs. */
  readonly reason: string;
  /** Nothing will change by itself: the authority said no, or something unusable. */
  readonly refused: boolean;
  readonly retryAfterMs: number | undefined;
}

/** Sorts out what a call on an `AuthorityLink`, or the check of its answer, ended with. */
export function failureOf(error: unknown): AuthorityFailure {
  const retryAfterMs = undefined;
  if (error instanceof GrpcStatusError) {
    const refused = refusals.has(error.code);
    const details = error.details === '' ? error.message : error.details;
    return {
      message: refused ? `the authority refuses it: ${details}` : details,
      reason: error.advice.reason ?? (refused ? 'refused' : 'unavailable'),
      refused,
      retryAfterMs: error.advice.retryAfterMs,
    };
  }
  if (error instanceof IssuedError) {
    // A clock is set right some time, most of the time without a person.
    const refused = error.reason !== 'certificate_not_yet_valid';
    return { message: error.message, reason: error.reason, refused, retryAfterMs };
  }
  if (error instanceof TrustBundleError) {
    return { message: error.message, reason: 'trust_bundle_refused', refused: true, retryAfterMs };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, reason: 'unavailable', refused: false, retryAfterMs };
}

const refusals: ReadonlySet<number> = new Set([
  GrpcStatus.invalidArgument,
  GrpcStatus.notFound,
  GrpcStatus.permissionDenied,
  GrpcStatus.failedPrecondition,
  GrpcStatus.unimplemented,
  GrpcStatus.unauthenticated,
]);
