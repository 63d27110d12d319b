import {
  type IdentityStatus as WireIdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { unary, type UnaryMethod } from '../rpc/client/unary.ts';
import type { GrpcChannel } from './grpc-channel.ts';
import { formatPublicKeyHash, type PublicKeyHash } from './public-key-hash.ts';

/** An identity of the sidecar that we may use. */
export interface IdentityStatus {
  readonly name: string;
  readonly isDefault: boolean;
  /** Whether it can sign now. */
  readonly ready: boolean;
  /** Why not, or what went wrong when it was last reloaded. */
  readonly problem: string | undefined;
  readonly spiffeId: string | undefined;
  readonly dnsNames: readonly string[];
  readonly keyType: string;
  /** SHA-256 of the leaf. */
  readonly fingerprint: Uint8Array;
  /** By which peers may pin it. Absent: it has no certificate. */
  readonly publicKeyHash: PublicKeyHash | undefined;
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** Of the key that opens what is encrypted for it: DER, leaf first. Empty: it has none. */
  readonly decryptionCertificates: readonly Uint8Array[];
  /** Absent: it is not enrolled with an authority. */
  readonly enrolment: EnrolmentStatus | undefined;
  /** Absent: it is no bootstrap identity. */
  readonly bootstrap: BootstrapStatus | undefined;
}

/** Of an identity enrolled with an authority, or waiting for it. */
export interface EnrolmentStatus {
  /** `waiting for a bundle`, `enrolling`, `enrolled`, `expired` or `revoked`. */
  readonly state: string;
  readonly renewAt: Date | undefined;
  /** When the authority was heard of last. */
  readonly trustReceivedAt: Date | undefined;
}

/** Of an identity with a certificate of its own making. */
export interface BootstrapStatus {
  /** Name of the identity whose enrolment ends it. */
  readonly until: string;
  /** That one has enrolled: this one is refused, and its key is destroyed. */
  readonly closed: boolean;
}

/** How a call is made. */
export interface CallSettings {
  readonly metadata: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

export interface IdentityList {
  readonly identities: readonly IdentityStatus[];
  /** Counts up whenever the sidecar's trust bundle is replaced. */
  readonly trustGeneration: bigint;
}

/** Asks the sidecar. Rejects with a socket's error or a `GrpcStatusError`. */
export async function listIdentities(
  channel: GrpcChannel,
  { metadata, signal }: CallSettings,
): Promise<IdentityList> {
  const options = { metadata, ...(signal === undefined ? {} : { signal }) };
  return identityListOf(await unary(channel, listMethod, {}, options));
}

/** The same in our words. */
export function identityListOf({
  identities,
  trustGeneration,
}: ListIdentitiesResponse): IdentityList {
  return { identities: identities.map(status), trustGeneration };
}

function status(wire: WireIdentityStatus): IdentityStatus {
  return {
    name: wire.name,
    isDefault: wire.isDefault,
    ready: wire.ready,
    problem: wire.problem === '' ? undefined : wire.problem,
    spiffeId: wire.spiffeId === '' ? undefined : wire.spiffeId,
    dnsNames: wire.dnsNames,
    keyType: wire.keyType,
    fingerprint: wire.fingerprint,
    notBefore: wire.notBefore,
    notAfter: wire.notAfter,
    certificates: wire.certificates,
    decryptionCertificates: wire.decryptionCertificates,
    publicKeyHash:
      wire.publicKeyHash.length === 0 ? undefined : formatPublicKeyHash(wire.publicKeyHash),
    enrolment: wire.enrolment,
    bootstrap: wire.bootstrap,
  };
}

const listMethod: UnaryMethod<ListIdentitiesRequest, ListIdentitiesResponse> = {
  path: '/sidekey.v1.WorkloadService/ListIdentities',
  requestSerialize: (request) => ListIdentitiesRequest.encode(request).finish(),
  responseDeserialize: (bytes) => ListIdentitiesResponse.decode(bytes),
};
