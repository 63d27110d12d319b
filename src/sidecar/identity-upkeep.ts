import type { handleUnaryCall } from '@grpc/grpc-js';
import type {
  EnrollIdentityRequest,
  EnrollIdentityResponse,
  ForgetIdentityRequest,
  ForgetIdentityResponse,
  RenewIdentityRequest,
  RenewIdentityResponse,
} from '../gen/sidekey/v1/workload.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import type { IncomingCall } from './caller-of.ts';
import {
  permittedIdentity,
  type UpkeepServices as PermissionServices,
} from './permitted-identity.ts';
import type { RenewalPace } from './renewal-pace.ts';

export interface UpkeepServices extends PermissionServices {
  readonly pace: RenewalPace;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
  readonly onBroken: (error: unknown) => void;
}

/** Has an identity enrol with the bundle that is brought. */
export function enrollIdentity(
  services: UpkeepServices,
): handleUnaryCall<EnrollIdentityRequest, EnrollIdentityResponse> {
  return answering(services, async (call) => {
    const { identity, bundle } = call.request;
    try {
      const { source } = permittedIdentity(call, identity, ['enroll'], services);
      refuseWhenDraining(services);
      const { spiffeId, notAfter, alreadyEnrolled } = await source.enroll(bundle);
      return { spiffeId, notAfter, alreadyEnrolled };
    } finally {
      // The key of the bundle's credential is in it.
      bundle.fill(0);
    }
  });
}

/** Has an identity renew its certificates now. */
export function renewIdentity(
  services: UpkeepServices,
): handleUnaryCall<RenewIdentityRequest, RenewIdentityResponse> {
  return answering(services, async (call) => {
    const permissions = ['enroll', 'renew'] as const;
    const { name, source } = permittedIdentity(call, call.request.identity, permissions, services);
    refuseWhenDraining(services);
    return { notAfter: await services.pace.renew(name, source) };
  });
}

/** Destroys what an identity has. */
export function forgetIdentity(
  services: UpkeepServices,
): handleUnaryCall<ForgetIdentityRequest, ForgetIdentityResponse> {
  return answering(services, async (call) => {
    const { identity } = call.request;
    if (identity === '') {
      throw new ServiceError('INVALID_ARGUMENT', 'invalid_request', 'identity: must be named');
    }
    const { source } = permittedIdentity(call, identity, ['enroll'], services);
    refuseWhenDraining(services);
    return { alreadyForgotten: !(await source.forget()) };
  });
}

function answering<Request, Response>(
  { onBroken, onDenied }: UpkeepServices,
  answer: (call: IncomingCall & { readonly request: Request }) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call).then(
      (response) => {
        callback(null, response);
      },
      (error: unknown) => {
        const refusal = error instanceof ServiceError ? error : undefined;
        if (refusal === undefined) onBroken(error);
        else onDenied(refusal);
        callback(toStatus(refusal ?? broken()));
      },
    );
  };
}

function refuseWhenDraining({ isDraining }: UpkeepServices): void {
  if (isDraining())
    throw new ServiceError('UNAVAILABLE', 'draining', 'the sidecar is shutting down');
}

function broken(): ServiceError {
  return new ServiceError('INTERNAL', 'internal_error', 'the sidecar made a mistake');
}
