import {
  type IdentityStatus as WireIdentityStatus,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
} from '../gen/sidekey/v1/workload.ts';
import { type GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';

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

/** Asks the sidecar. Rejects with a socket's error or a {@link GrpcStatusError}. */
export async function listIdentities(
  channel: GrpcChannel,
  token: string | undefined,
): Promise<IdentityList> {
  const metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const request = ListIdentitiesRequest.encode({}).finish();
  const bytes = await unary(channel, listIdentitiesPath, metadata, request);
  const { identities, trustGeneration } = ListIdentitiesResponse.decode(bytes);
  return { identities: identities.map(status), trustGeneration };
}

async function unary(
  channel: GrpcChannel,
  path: string,
  metadata: Readonly<Record<string, string>>,
  request: Uint8Array,
): Promise<Uint8Array> {
  let answer: Uint8Array | undefined;
  channel.hold();
  try {
    return await new Promise((resolve, reject) => {
      const events = {
        message: (bytes: Uint8Array) => {
          answer ??= bytes;
        },
        end: (ended: GrpcStatusError) => {
          if (ended.code !== GrpcStatus.ok) reject(ended);
          else if (answer === undefined) {
            reject(new GrpcStatusError(GrpcStatus.internal, 'call ended without an answer'));
          } else resolve(answer);
        },
      };
      channel.call(path, metadata, events).then((call) => {
        call.send(request);
        call.endSending();
      }, reject);
    });
  } finally {
    channel.release();
  }
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

const listIdentitiesPath = '/sidekey.v1.WorkloadService/ListIdentities';
