import {
  type IdentityStatus as WireIdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { unary, type UnaryMethod } from '../rpc/client/unary.ts';
import type { GrpcChannel } from './grpc-channel.ts';

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
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
}

export interface IdentityList {
  readonly identities: readonly IdentityStatus[];
  /** Counts up whenever the sidecar's trust bundle is replaced. */
  readonly trustGeneration: bigint;
}

/** Asks the sidecar. Rejects with a socket's error or a `GrpcStatusError`. */
export async function listIdentities(
  channel: GrpcChannel,
  token: string | undefined,
): Promise<IdentityList> {
  const metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const { identities, trustGeneration } = await unary(channel, listMethod, {}, { metadata });
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
  };
}

const listMethod: UnaryMethod<ListIdentitiesRequest, ListIdentitiesResponse> = {
  path: '/sidekey.v1.WorkloadService/ListIdentities',
  requestSerialize: (request) => ListIdentitiesRequest.encode(request).finish(),
  responseDeserialize: (bytes) => ListIdentitiesResponse.decode(bytes),
};
