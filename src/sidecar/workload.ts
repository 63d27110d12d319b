import type { handleUnaryCall, Metadata } from '@grpc/grpc-js';
import type {
  IdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import type { Connection } from '../rpc/server.ts';
import { type Caller, type CallerPolicy, presentedTokens } from './callers.ts';
import type { IdentityStore } from './identities.ts';
import { allowedIdentities } from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';
import { readinessProblem } from './readiness.ts';
import type { TrustStore } from './trust.ts';

export interface WorkloadServices {
  readonly identities: IdentityStore;
  readonly trust: TrustStore;
  readonly now: () => Date;
  readonly connection: (peer: string) => Connection<CallerPolicy> | undefined;
  readonly onDenied: (error: ServiceError) => void;
}

/** Answers what a caller's identities are, and how they are. */
export function listIdentities(
  services: WorkloadServices,
): handleUnaryCall<ListIdentitiesRequest, ListIdentitiesResponse> {
  return (call, callback) => {
    try {
      const caller = identify(services, call.getPeer(), call.metadata);
      callback(null, {
        identities: allowedIdentities(caller, services.identities).map((identity) =>
          statusOf(identity, services),
        ),
        trustGeneration: BigInt(services.trust.generation),
      });
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      services.onDenied(error);
      callback(toStatus(error));
    }
  };
}

function identify(services: WorkloadServices, peer: string, metadata: Metadata): Caller {
  const connection = services.connection(peer);
  if (connection === undefined) {
    throw new ServiceError('UNAUTHENTICATED', 'caller_unknown', 'caller is not known');
  }
  const tokens = metadata
    .get('authorization')
    .flatMap((value) => (typeof value === 'string' ? (bearer.exec(value)?.[1] ?? []) : []));
  return connection.listener.identify(connection.credentials, presentedTokens(tokens));
}

function statusOf(identity: LocalIdentity, services: WorkloadServices): IdentityStatus {
  const { leaf } = identity;
  const readiness = readinessProblem(identity, services.now());
  const problems = [readiness, services.identities.problemOf(identity.name)];
  return {
    name: identity.name,
    isDefault: identity.isDefault,
    ready: readiness === undefined,
    problem: problems.filter((problem) => problem !== undefined).join('; '),
    spiffeId: identity.spiffeId ?? '',
    dnsNames: [...leaf.subjectAltNames.dnsNames],
    keyType: identity.keyType,
    fingerprint: Buffer.from(leaf.fingerprint),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    certificates: identity.credential.certificates.map((der) => Buffer.from(der)),
    enrolment: undefined,
  };
}

/** RFC 6750 §2.1. */
const bearer = /^Bearer ([\x21-\x7e]+)$/iu;
