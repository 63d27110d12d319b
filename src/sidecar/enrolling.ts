import type { handleUnaryCall } from '@grpc/grpc-js';
import type { EnrollIdentityRequest, EnrollIdentityResponse } from '../gen/sidekey/v1/workload.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import { connectionOf, type FindConnection, type IncomingCall } from './caller-of.ts';
import type { EnrolledEntry } from './enrolled-entry.ts';
import type { IdentityStore } from './identities.ts';

export interface EnrollingServices {
  readonly identities: IdentityStore;
  readonly connection: FindConnection;
  readonly ownUid: number | undefined;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
  readonly onBroken: (error: unknown) => void;
}

/** Has an identity enrol with the bundle its owner brings. */
export function enrollIdentity(
  services: EnrollingServices,
): handleUnaryCall<EnrollIdentityRequest, EnrollIdentityResponse> {
  return (call, callback) => {
    enroll(call, services).then(
      (response) => {
        callback(null, response);
      },
      (error: unknown) => {
        const refusal = error instanceof ServiceError ? error : undefined;
        if (refusal === undefined) services.onBroken(error);
        else services.onDenied(refusal);
        callback(toStatus(refusal ?? brokenEnrolment()));
      },
    );
  };
}

async function enroll(
  call: IncomingCall & { readonly request: EnrollIdentityRequest },
  services: EnrollingServices,
): Promise<EnrollIdentityResponse> {
  const { identity, bundle } = call.request;
  try {
    requireOwner(call, services);
    if (services.isDraining()) {
      throw new ServiceError('UNAVAILABLE', 'draining', 'the sidecar is shutting down');
    }
    const { source } = entryCalled(identity, services.identities);
    const { spiffeId, notAfter, alreadyEnrolled } = await source.enroll(bundle);
    return { spiffeId, notAfter, alreadyEnrolled };
  } finally {
    // The key of the bundle's credential is in it.
    bundle.fill(0);
  }
}

/** Whoever runs the sidecar, or may become anybody; nobody else decides who it is. */
function requireOwner(call: IncomingCall, services: EnrollingServices): void {
  const { credentials } = connectionOf(call, services.connection);
  const uid = credentials?.uid;
  if (uid !== undefined && (uid === services.ownUid || uid === 0)) return;
  throw new ServiceError(
    'PERMISSION_DENIED',
    'not_the_owner',
    'only the user who runs the sidecar can have it enrol, over its unix socket',
  );
}

function entryCalled(name: string, identities: IdentityStore): EnrolledEntry {
  if (name !== '') {
    const entry = identities.enrolledEntry(name);
    if (entry !== undefined) return entry;
    throw identities.names().includes(name)
      ? precondition('identity_from_files', 'the identity is read from files, not enrolled')
      : new ServiceError('NOT_FOUND', 'identity_unknown', 'there is no identity of this name');
  }
  const [only, second] = identities.enrolled();
  if (only === undefined) {
    throw precondition('no_enrolled_identity', 'no identity is configured as enrolled');
  }
  if (second !== undefined) {
    throw precondition('identity_ambiguous', 'several identities are enrolled: name one');
  }
  return only;
}

function precondition(reason: string, message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', reason, message);
}

function brokenEnrolment(): ServiceError {
  return new ServiceError('INTERNAL', 'internal_error', 'the sidecar made a mistake');
}
