import { copyOf } from '../bytes/bytes.ts';
import { Ciphersuite, type Identity, TLSVersion } from '../gen/s2a/proto/common.ts';
import {
  ClientAuth,
  type KeyingMaterialRequest as WireKeyingMaterialRequest,
  SessionReq,
  SessionResp,
  type SessionResult,
} from '../gen/s2a/proto/s2a.ts';
import type { CipherSuite } from '../tls/cipher-suites.ts';
import type { KeyingMaterialRequest, PeerName, UncheckedSession } from './session.ts';
import { sharedChain } from './shared-chain.ts';
import type {
  ClientStart,
  ServerStart,
  SidecarFailure,
  SidecarRequest,
  SidecarResponse,
} from './sidecar-messages.ts';

/**
 * Our words for a handshake to and from the messages of `s2a.proto.S2AService`. Generated types stop
 * here.
 */

export const setUpSessionPath = '/s2a.proto.S2AService/SetUpSession';

export function encodeRequest(request: SidecarRequest): Uint8Array {
  const reqOneof =
    request.type === 'next'
      ? ({ $case: 'next', value: { inBytes: asBuffer(request.bytes) } } as const)
      : request.start.role === 'client'
        ? ({ $case: 'clientStart', value: clientStart(request.start) } as const)
        : ({ $case: 'serverStart', value: serverStart(request.start, request.bytes) } as const);
  return SessionReq.encode({
    reqOneof,
    authMechanisms:
      request.type === 'start' && request.token !== undefined
        ? [{ identity: undefined, mechanismOneof: { $case: 'token', value: request.token } }]
        : [],
    keepStream: request.type === 'start' && request.keepStream,
  }).finish();
}

/** Throws for bytes that are no such message. Nothing in the result is a view of `bytes`. */
export function decodeResponse(bytes: Uint8Array): SidecarResponse {
  const response = SessionResp.decode(bytes);
  return {
    outFrames: response.outFrames,
    bytesConsumed: response.bytesConsumed,
    handshakeId: orUndefined(response.handshakeId),
    session: response.result === undefined ? undefined : uncheckedSession(response.result),
    failure: failureOf(response),
  };
}

function clientStart(start: ClientStart) {
  return {
    applicationProtocols: [...start.applicationProtocols],
    minTlsVersion: TLSVersion.TLS1_2,
    maxTlsVersion: TLSVersion.TLS1_2,
    tlsCiphersuites: [],
    targetIdentities: start.targetIdentities.map(wireIdentity),
    localIdentity: undefined,
    targetName: start.targetName,
    keyingMaterial: start.keyingMaterial.map(keyingMaterialRequest),
    identityName: start.identity ?? '',
    anonymous: start.anonymous,
    pinnedPublicKeys: (start.pinnedPublicKeys ?? []).map(asBuffer),
    requireApplicationProtocol: start.requireApplicationProtocol ?? false,
  };
}

function serverStart(start: ServerStart, bytes: Uint8Array) {
  return {
    applicationProtocols: [...start.applicationProtocols],
    minTlsVersion: TLSVersion.TLS1_2,
    maxTlsVersion: TLSVersion.TLS1_2,
    tlsCiphersuites: [],
    localIdentities: [],
    inBytes: asBuffer(bytes),
    keyingMaterial: start.keyingMaterial.map(keyingMaterialRequest),
    identityNames: [...start.identities],
    clientAuth:
      start.clientAuth === undefined ? ClientAuth.UNSPECIFIED : clientAuth[start.clientAuth],
    pinnedPublicKeys: (start.pinnedPublicKeys ?? []).map(asBuffer),
    allowedPeers: [...(start.allowedPeers ?? [])],
    requireApplicationProtocol: start.requireApplicationProtocol ?? false,
  };
}

function wireIdentity(name: PeerName): Identity {
  switch (name.type) {
    case 'spiffe':
      return { identityOneof: { $case: 'spiffeId', value: name.id }, attributes: {} };
    case 'hostname':
      return { identityOneof: { $case: 'hostname', value: name.name }, attributes: {} };
  }
}

function keyingMaterialRequest(request: KeyingMaterialRequest): WireKeyingMaterialRequest {
  return {
    label: request.label,
    length: request.length,
    context: asBuffer(request.context ?? new Uint8Array()),
    hasContext: request.context !== undefined,
  };
}

function failureOf(response: SessionResp): SidecarFailure | undefined {
  const { status, failure } = response;
  if (status === undefined || status.code === 0) return undefined;
  return {
    code: status.code,
    details: status.details,
    reason: orUndefined(failure?.reason ?? ''),
    alert: failure?.alert,
    alertFrom:
      failure?.alertReceived === true ? 'peer' : failure?.alertSent === true ? 'us' : undefined,
    state: orUndefined(failure?.phase ?? ''),
    retryAfterMs: orUndefined(failure?.retryAfterMs ?? 0),
  };
}

function uncheckedSession(result: SessionResult): UncheckedSession {
  const { state } = result;
  return {
    version: state?.tlsVersion === TLSVersion.TLS1_2 ? 'TLSv1.2' : 'other',
    cipherSuiteCode: result.cipherSuite,
    aead: state === undefined ? undefined : aeads.get(state.tlsCiphersuite),
    peerFingerprint: result.peerCertFingerprint,
    pinnedPeer: result.peerPinned ? result.peerPublicKeyHash : undefined,
    session: {
      read: {
        key: state?.inKey ?? noBytes,
        fixedNonce: state?.inFixedNonce ?? noBytes,
        sequenceNumber: state?.inSequence ?? 0n,
      },
      write: {
        key: state?.outKey ?? noBytes,
        fixedNonce: state?.outFixedNonce ?? noBytes,
        sequenceNumber: state?.outSequence ?? 0n,
      },
      applicationProtocol: orUndefined(result.applicationProtocol),
      resumed: state?.isHandshakeResumed ?? false,
      extendedMasterSecret: result.extendedMasterSecret,
      peerIdentity: nameIn(result.peerIdentity),
      localIdentity: nameIn(result.localIdentity),
      // Kept as long as the connection lives.
      peerCertificates: sharedChain(result.peerCertFingerprint, result.peerCertificates),
      localCertificates: sharedChain(result.localCertFingerprint, result.localCertificates),
      namedGroup: orUndefined(result.namedGroup),
      signatureScheme: orUndefined(result.signatureScheme),
      serverName: orUndefined(result.serverName),
      keyingMaterial: result.keyingMaterial,
      localFinished: result.localFinished.length === 0 ? undefined : copyOf(result.localFinished),
      peerFinished: result.peerFinished.length === 0 ? undefined : copyOf(result.peerFinished),
    },
  };
}

function nameIn(identity: Identity | undefined): string | undefined {
  return orUndefined(identity?.identityOneof?.value ?? '');
}

/** Proto3 knows no absence of plain fields: the zero value stands for it. */
function orUndefined<T extends string | number>(value: T): T | undefined {
  return value === '' || value === 0 ? undefined : value;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const clientAuth = {
  none: ClientAuth.NONE,
  request: ClientAuth.REQUEST,
  require: ClientAuth.REQUIRE,
} as const;

const aeads = new Map<number, CipherSuite['aead']>([
  [Ciphersuite.AES_128_GCM_SHA256, 'aes-128-gcm'],
  [Ciphersuite.AES_256_GCM_SHA384, 'aes-256-gcm'],
  [Ciphersuite.CHACHA20_POLY1305_SHA256, 'chacha20-poly1305'],
]);

const noBytes = new Uint8Array();
