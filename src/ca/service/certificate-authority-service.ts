import type { handleUnaryCall, ServerUnaryCall } from '@grpc/grpc-js';
import type {
  CertificateAuthorityServiceServer,
  ConfirmRequest,
  ConfirmResponse,
  EnrollRequest,
  EnrollResponse,
  IssuedCertificates,
  RenewRequest,
  RenewResponse,
  TrustBundle,
} from '../../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError, toStatus } from '../../rpc/errors.ts';
import { Postponed } from '../admission/admission.ts';
import type { HeldAnswers } from '../admission/held-answers.ts';
import type { Issued } from '../issue/issued.ts';
import type { CallOrigin, Issuance } from './issuance.ts';

export interface CertificateAuthorityServiceOptions {
  readonly issuance: Issuance;
  /** Who is at the other end of the connection of a call. `undefined`: it is gone. */
  readonly originOf: (call: { getPeer(): string }) => CallOrigin | undefined;
  /** The newest version. */
  readonly trustBundle: () => TrustBundle;
  readonly now: () => Date;
  /** Where refusals wait that are told late. */
  readonly held: HeldAnswers;
  /** Ends the connection of a call at once. */
  readonly cut: (call: { getPeer(): string }) => void;
  readonly followTrust: CertificateAuthorityServiceServer['followTrust'];
}

/** The service as gRPC wants it. Messages end here: further in, there are only types of our own. */
export function createCertificateAuthorityService(
  options: CertificateAuthorityServiceOptions,
): CertificateAuthorityServiceServer {
  const { issuance, trustBundle, now } = options;
  const unary =
    <Request, Response>(
      answer: (request: Request, origin: CallOrigin) => Promise<Response>,
    ): handleUnaryCall<Request, Response> =>
    (call: ServerUnaryCall<Request, Response>, callback) => {
      const origin = options.originOf(call);
      if (origin === undefined) {
        callback(toStatus(new ServiceError('CANCELLED', 'gone', 'the connection has ended')));
        return;
      }
      answer(call.request, origin).then(
        (response) => {
          callback(null, response);
        },
        (error: unknown) => {
          const refuse = (): void => {
            callback(toStatus(asServiceError(error)));
          };
          if (!(error instanceof Postponed)) refuse();
          else if (!options.held.hold(refuse, error.holdMs)) options.cut(call);
        },
      );
    };
  const answered = (issued: Issued) => ({
    issued: issuedMessage(issued, now()),
    trustBundle: trustBundle(),
  });
  return {
    enroll: unary<EnrollRequest, EnrollResponse>(async (request, origin) =>
      answered(await issuance.enroll({ ...origin, ...request })),
    ),
    renew: unary<RenewRequest, RenewResponse>(async ({ renewalToken, ...request }, origin) =>
      answered(await issuance.renew({ ...origin, ...request, token: renewalToken })),
    ),
    confirm: unary<ConfirmRequest, ConfirmResponse>(async (request, origin) => {
      await issuance.confirm({ ...origin, ...request });
      return {};
    }),
    followTrust: options.followTrust,
  };
}

function issuedMessage(issued: Issued, serverTime: Date): IssuedCertificates {
  return {
    agentId: Buffer.from(issued.agentId),
    spiffeId: issued.spiffeId,
    tlsChain: issued.tlsChain.map((der) => Buffer.from(der)),
    decryptionChain: issued.decryptionChain.map((der) => Buffer.from(der)),
    renewalToken: issued.renewalToken,
    generation: issued.generation,
    serverTime,
    active: issued.active,
    properties: { ...issued.properties },
  };
}

function asServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  return new ServiceError('UNAVAILABLE', 'internal', 'the authority cannot answer now');
}
