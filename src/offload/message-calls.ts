import {
  SignConfigurationRequest,
  SignConfigurationResponse,
  UnwrapKeyRequest,
  UnwrapKeyResponse,
  VerifySignerRequest,
  VerifySignerResponse,
} from '../gen/sidekey/v1/workload.ts';
import { unary, type UnaryMethod } from '../rpc/client/unary.ts';
import type { GrpcChannel } from './grpc-channel.ts';
import type { CallSettings } from './identity-status.ts';

/** A configuration to be signed, of which the sidecar sees the digests. */
export interface ConfigurationToSign {
  /** Of the content that goes into the SignedData; the key says which one is signed. */
  readonly contentSha256: Uint8Array;
  readonly contentSha384: Uint8Array;
  readonly contentSha512: Uint8Array;
  /** UUID of the agent it is for, lower case. */
  readonly agentId: string;
  /** From 1 to 2^53 - 1. */
  readonly version: number;
  /** At most 400 days ahead. */
  readonly notAfter: Date;
}

/** For a SignedData (RFC 5652 §5). */
export interface ConfigurationSignature {
  /** DER `SignerInfo`. */
  readonly signerInfo: Uint8Array;
  /** DER, the signer's first. */
  readonly certificates: readonly Uint8Array[];
}

/** Whose chain is to be judged, and what he must be. */
export interface SignerToVerify {
  /** DER, the signer's first. */
  readonly certificates: readonly Uint8Array[];
  /** Such as `manager`. */
  readonly requiredRole: string;
  /** It has to be for decryption instead: somebody a message is to be encrypted for. Default: false. */
  readonly recipient?: boolean | undefined;
}

/** A content key, still wrapped. */
export interface WrappedKey {
  /** DER `RecipientInfo` (RFC 5652 §6.2), at most 4096 bytes. */
  readonly recipientInfo: Uint8Array;
  readonly contentEncryption: 'aes-256-gcm' | 'aes-256-cbc';
}

/** A content key. */
export interface UnwrappedKey {
  /** 32 bytes, the caller's to wipe. */
  readonly contentKey: Uint8Array;
  /** Finds the call in the sidecar's log. */
  readonly unwrapId: string;
}

/** Rejects with a socket's error or a `GrpcStatusError`, as all below. An empty identity is the default. */
export async function signConfiguration(
  channel: GrpcChannel,
  identity: string,
  configuration: ConfigurationToSign,
  settings: CallSettings,
): Promise<ConfigurationSignature> {
  const { contentSha256, contentSha384, contentSha512, agentId, version, notAfter } = configuration;
  const request = {
    identity,
    contentSha256: Buffer.from(contentSha256),
    contentSha384: Buffer.from(contentSha384),
    contentSha512: Buffer.from(contentSha512),
    agentId,
    version: BigInt(version),
    notAfter,
  };
  return await unary(channel, signMethod, request, options(settings));
}

export async function verifySigner(
  channel: GrpcChannel,
  identity: string,
  { certificates, requiredRole, recipient = false }: SignerToVerify,
  settings: CallSettings,
): Promise<{ readonly spiffeId: string }> {
  const request = {
    identity,
    certificates: certificates.map((der) => Buffer.from(der)),
    requiredRole,
    recipient,
  };
  return await unary(channel, verifyMethod, request, options(settings));
}

export async function unwrapKey(
  channel: GrpcChannel,
  identity: string,
  { recipientInfo, contentEncryption }: WrappedKey,
  settings: CallSettings,
): Promise<UnwrappedKey> {
  const request = { identity, recipientInfo: Buffer.from(recipientInfo), contentEncryption };
  return await unary(channel, unwrapMethod, request, options(settings));
}

function options({ metadata, signal }: CallSettings) {
  return { metadata, timeoutMs, ...(signal === undefined ? {} : { signal }) };
}

const servicePath = '/sidekey.v1.WorkloadService';

const signMethod: UnaryMethod<SignConfigurationRequest, SignConfigurationResponse> = {
  path: `${servicePath}/SignConfiguration`,
  requestSerialize: (request) => SignConfigurationRequest.encode(request).finish(),
  responseDeserialize: (bytes) => SignConfigurationResponse.decode(bytes),
};

const verifyMethod: UnaryMethod<VerifySignerRequest, VerifySignerResponse> = {
  path: `${servicePath}/VerifySigner`,
  requestSerialize: (request) => VerifySignerRequest.encode(request).finish(),
  responseDeserialize: (bytes) => VerifySignerResponse.decode(bytes),
};

const unwrapMethod: UnaryMethod<UnwrapKeyRequest, UnwrapKeyResponse> = {
  path: `${servicePath}/UnwrapKey`,
  requestSerialize: (request) => UnwrapKeyRequest.encode(request).finish(),
  responseDeserialize: (bytes) => UnwrapKeyResponse.decode(bytes),
};

/** Nothing in these calls waits for anybody else. */
const timeoutMs = 10_000;
