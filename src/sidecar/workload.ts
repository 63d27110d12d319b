import type { handleUnaryCall } from '@grpc/grpc-js';
import type {
  IdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { hash } from '../crypto/hash.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import { callerOf, type FindConnection } from './caller-of.ts';
import type { EnrolledEntry } from './enrolled-entry.ts';
import type { IdentityStore } from './identities.ts';
import { allowedNames } from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';
import { readinessProblem } from './readiness.ts';

export interface WorkloadServices {
  readonly identities: IdentityStore;
  readonly trustGeneration: () => number;
  readonly now: () => Date;
  readonly connection: FindConnection;
  readonly onDenied: (error: ServiceError) => void;
}

/** Answers what a caller's identities are, and how they are. */
export function listIdentities(
  services: WorkloadServices,
): handleUnaryCall<ListIdentitiesRequest, ListIdentitiesResponse> {
  return (call, callback) => {
    try {
      const caller = callerOf(call, services.connection);
      const names = allowedNames(caller, services.identities);
      callback(null, {
        identities: names.flatMap((name) => statusOf(name, services) ?? []),
        trustGeneration: BigInt(services.trustGeneration()),
      });
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      services.onDenied(error);
      callback(toStatus(error));
    }
  };
}

function statusOf(name: string, services: WorkloadServices): IdentityStatus | undefined {
  const { identities, now } = services;
  const identity = identities.get(name);
  const entry = identities.enrolledEntry(name);
  const enrolment = entry === undefined ? undefined : enrolmentOf(entry);
  const decryptionCertificates = (entry?.source.decryption?.chain ?? []).map((der) =>
    Buffer.from(der),
  );
  if (identity === undefined) {
    return entry === undefined
      ? undefined
      : { ...waiting(entry), enrolment, decryptionCertificates };
  }
  const readiness = entry?.refusal?.message ?? readinessProblem(identity, now());
  const problems = [readiness, identities.problemOf(name)];
  return {
    ...described(identity),
    ready: readiness === undefined,
    problem: problems.filter((problem) => problem !== undefined).join('; '),
    enrolment,
    decryptionCertificates,
  };
}

function described(
  identity: LocalIdentity,
): Omit<IdentityStatus, 'ready' | 'problem' | 'enrolment' | 'decryptionCertificates'> {
  const { leaf } = identity;
  return {
    name: identity.name,
    isDefault: identity.isDefault,
    spiffeId: identity.spiffeId ?? '',
    dnsNames: [...leaf.subjectAltNames.dnsNames],
    keyType: identity.keyType,
    fingerprint: Buffer.from(leaf.fingerprint),
    publicKeyHash: Buffer.from(hash('sha256', leaf.publicKeyInfo)),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    certificates: identity.credential.certificates.map((der) => Buffer.from(der)),
    bootstrap: undefined,
  };
}

/** An identity that has nothing to show yet, or not any more. */
function waiting({
  config,
  refusal,
  problem,
}: EnrolledEntry): Omit<IdentityStatus, 'enrolment' | 'decryptionCertificates'> {
  const problems = [refusal?.message, problem];
  return {
    name: config.name,
    isDefault: config.isDefault,
    ready: false,
    problem: problems.filter((text) => text !== undefined).join('; '),
    spiffeId: '',
    dnsNames: [],
    keyType: config.keyType,
    fingerprint: Buffer.alloc(0),
    publicKeyHash: Buffer.alloc(0),
    notBefore: undefined,
    notAfter: undefined,
    certificates: [],
    bootstrap: undefined,
  };
}

function enrolmentOf({ source }: EnrolledEntry): IdentityStatus['enrolment'] {
  const { state, renewAt, trustReceivedAt, bundleSequence, feedSequence } = source.status;
  return {
    state,
    renewAt,
    trustReceivedAt,
    bundleSequence: BigInt(bundleSequence),
    feedSequence: BigInt(feedSequence),
  };
}
