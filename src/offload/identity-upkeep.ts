import {
  EnrollIdentityRequest,
  EnrollIdentityResponse,
  ForgetIdentityRequest,
  ForgetIdentityResponse,
  RenewIdentityRequest,
  RenewIdentityResponse,
} from '../gen/sidekey/v1/workload.ts';
import { unary, type UnaryMethod } from '../rpc/client/unary.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';
import type { GrpcChannel } from './grpc-channel.ts';
import type { CallSettings } from './identity-status.ts';

/** What enrolling came to. */
export interface Enrolment {
  readonly spiffeId: string;
  readonly notAfter: Date;
  /** It had enrolled before, with the same bundle. */
  readonly alreadyEnrolled: boolean;
}

/** Rejects with a socket's error, a `GrpcStatusError` or an `OffloadError`, as all below. */
export async function enrollIdentity(
  channel: GrpcChannel,
  { identity, bundle }: { readonly identity: string; readonly bundle: Uint8Array },
  settings: CallSettings,
): Promise<Enrolment> {
  const request = { identity, bundle: Buffer.from(bundle) };
  try {
    const answer = await call(channel, enrollMethod, request, settings);
    const { spiffeId, notAfter, alreadyEnrolled } = answer;
    return { spiffeId, notAfter: moment(notAfter), alreadyEnrolled };
  } finally {
    request.bundle.fill(0);
  }
}

export async function renewIdentity(
  channel: GrpcChannel,
  identity: string,
  settings: CallSettings,
): Promise<{ readonly notAfter: Date }> {
  const { notAfter } = await call(channel, renewMethod, { identity }, settings);
  return { notAfter: moment(notAfter) };
}

export async function forgetIdentity(
  channel: GrpcChannel,
  identity: string,
  settings: CallSettings,
): Promise<{ readonly alreadyForgotten: boolean }> {
  const { alreadyForgotten } = await call(channel, forgetMethod, { identity }, settings);
  return { alreadyForgotten };
}

function call<Request, Response>(
  channel: GrpcChannel,
  method: UnaryMethod<Request, Response>,
  request: Request,
  { metadata, signal }: CallSettings,
): Promise<Response> {
  const options = { metadata, timeoutMs, ...(signal === undefined ? {} : { signal }) };
  return unary(channel, method, request, options);
}

function moment(value: Date | undefined): Date {
  if (value !== undefined) return value;
  throw new OffloadError(OffloadErrorCode.protocol, 'sidecar does not say until when', {
    phase: 'sidecar',
  });
}

const servicePath = '/sidekey.v1.WorkloadService';

const enrollMethod: UnaryMethod<EnrollIdentityRequest, EnrollIdentityResponse> = {
  path: `${servicePath}/EnrollIdentity`,
  requestSerialize: (request) => EnrollIdentityRequest.encode(request).finish(),
  responseDeserialize: (bytes) => EnrollIdentityResponse.decode(bytes),
};

const renewMethod: UnaryMethod<RenewIdentityRequest, RenewIdentityResponse> = {
  path: `${servicePath}/RenewIdentity`,
  requestSerialize: (request) => RenewIdentityRequest.encode(request).finish(),
  responseDeserialize: (bytes) => RenewIdentityResponse.decode(bytes),
};

const forgetMethod: UnaryMethod<ForgetIdentityRequest, ForgetIdentityResponse> = {
  path: `${servicePath}/ForgetIdentity`,
  requestSerialize: (request) => ForgetIdentityRequest.encode(request).finish(),
  responseDeserialize: (bytes) => ForgetIdentityResponse.decode(bytes),
};

/** The sidecar tries every address of an authority in turn, and for some seconds. */
const timeoutMs = 60_000;
