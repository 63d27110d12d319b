import type { handleUnaryCall } from '@grpc/grpc-js';
import type { VerifySignerRequest, VerifySignerResponse } from '../gen/sidekey/v1/workload.ts';
import {
  type Certificate,
  CertificateError,
  parseSpiffeId,
  type SpiffeId,
  spiffeIdOf,
} from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import { CallBudget } from './call-budget.ts';
import { messageCall, type MessageServices } from './message-call.ts';

/**
 * Judges who signed a message: whether those the identity trusts vouch for the chain now, nobody in it is
 * revoked, and the signer is of the same trust domain and of the role that may sign such a thing. Every
 * host has a certificate of the same CA: without the role, any of them could sign for a manager.
 */
export function verifySigner(
  services: MessageServices,
): handleUnaryCall<VerifySignerRequest, VerifySignerResponse> {
  const budget = new CallBudget(services.messagesPerSecond, services.now);
  return messageCall(services, (request: VerifySignerRequest, { caller, identity }) => {
    const { certificates, requiredRole } = request;
    if (!/^[a-z]{1,32}$/u.test(requiredRole)) {
      throw new ServiceError('INVALID_ARGUMENT', 'role_missing', 'no role is required');
    }
    budget.spend(caller.id);
    try {
      const { leaf } = identity.trust.verify(certificates, {
        purpose: request.recipient ? 'recipient' : 'client',
        requireExtendedKeyUsage: false,
      });
      const text = request.recipient ? onlyUri(leaf) : spiffeIdOf(leaf);
      const spiffeId = parseSpiffeId(text ?? '');
      const domain = parseSpiffeId(identity.spiffeId ?? '')?.trustDomain;
      if (spiffeId === undefined || spiffeId.trustDomain !== domain) {
        throw refused('the signer is not of the trust domain of the identity');
      }
      if (roleOf(spiffeId) !== requiredRole) {
        throw refused(`the signer is ${spiffeId.text}, no ${requiredRole}`);
      }
      return { spiffeId: spiffeId.text };
    } catch (error) {
      throw error instanceof CertificateError ? refused(error.message) : error;
    }
  });
}

/** A certificate for decryption is no X.509-SVID, which has to be for signatures; it has the name of one. */
function onlyUri({ subjectAltNames }: Certificate): string | undefined {
  const [uri, second] = subjectAltNames.uris;
  return second === undefined ? uri : undefined;
}

/** The first segment of the path, as the authority writes it: `spiffe://TRUST-DOMAIN/ROLE/UUID`. */
export function roleOf({ path }: SpiffeId): string | undefined {
  const [, role, , more] = path.split('/');
  return more === undefined ? role : undefined;
}

function refused(detail: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', 'signer_refused', detail);
}
