import type { handleUnaryCall } from '@grpc/grpc-js';
import type {
  IdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { hash } from '../crypto/hash.ts';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import type { BootstrapEntry } from './bootstrap-entry.ts';
import { callerOf, type FindConnection } from './caller-of.ts';
import type { Caller } from './callers.ts';
import type { EnrolledEntry } from './enrolled-entry.ts';
import type { IdentityStore } from './identities.ts';
import { allowedNames } from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';
import { readinessProblem } from './readiness.ts';

/** Where statuses come from. */
export interface StatusServices {
  readonly identities: IdentityStore;
  readonly trustGeneration: () => number;
  readonly now: () => Date;
}

export interface WorkloadServices extends StatusServices {
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
      callback(null, statusFor(caller, services));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      services.onDenied(error);
      callback(toStatus(error));
    }
  };
}

/** How the identities are that a caller may use. Signs with each, to see whether it can. */
export function statusFor(caller: Caller, services: StatusServices): ListIdentitiesResponse {
  return {
    identities: allowedNames(caller, services.identities).map((name) => statusOf(name, services)),
    trustGeneration: BigInt(services.trustGeneration()),
  };
}

function statusOf(name: string, services: StatusServices): IdentityStatus {
  const { identities, now } = services;
  const identity = identities.get(name);
  const entry = identities.enrolledEntry(name);
  const bootstrap = bootstrapOf(identities.bootstrapEntry(name));
  const enrolment = entry === undefined ? undefined : enrolmentOf(entry);
  const decryptionCertificates = (entry?.source.decryption?.chain ?? []).map((der) =>
    Buffer.from(der),
  );
  const refusal = identities.refusalOf(name)?.message;
  if (identity === undefined) {
    const problems = [refusal, identities.problemOf(name)];
    return {
      ...without(name, identities),
      problem: joined(problems),
      enrolment,
      bootstrap,
      decryptionCertificates,
    };
  }
  const readiness = refusal ?? readinessProblem(identity, now());
  const problems = [readiness, identities.problemOf(name)];
  return {
    ...described(identity),
    ready: readiness === undefined,
    problem: joined(problems),
    enrolment,
    decryptionCertificates,
    bootstrap,
  };
}

function joined(problems: readonly (string | undefined)[]): string {
  return problems.filter((problem) => problem !== undefined).join('; ');
}

function bootstrapOf(entry: BootstrapEntry | undefined): IdentityStatus['bootstrap'] {
  return entry && { until: entry.config.until, closed: entry.isShut };
}

function described(
  identity: LocalIdentity,
): Omit<
  IdentityStatus,
  'ready' | 'problem' | 'enrolment' | 'bootstrap' | 'decryptionCertificates'
> {
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
  };
}

/** An identity that has nothing to show yet, or not any more. */
function without(
  name: string,
  identities: IdentityStore,
): Omit<IdentityStatus, 'problem' | 'enrolment' | 'bootstrap' | 'decryptionCertificates'> {
  const entry = identities.enrolledEntry(name);
  return {
    name,
    isDefault: entry?.config.isDefault ?? false,
    ready: false,
    spiffeId: '',
    dnsNames: [],
    keyType: entry?.config.keyType ?? '',
    fingerprint: Buffer.alloc(0),
    publicKeyHash: Buffer.alloc(0),
    notBefore: undefined,
    notAfter: undefined,
    certificates: [],
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
