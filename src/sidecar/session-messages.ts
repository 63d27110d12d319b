import { Ciphersuite, type Identity, TLSVersion } from '../gen/s2a/proto/common.ts';
import {
  ClientAuth,
  type ClientSessionStartReq,
  type KeyingMaterialRequest,
  type ServerSessionStartReq,
  SessionReq,
  SessionResp,
  type SessionResult,
} from '../gen/s2a/proto/s2a.ts';
import type { AeadAlgorithm } from '../crypto/aead.ts';
import { isHostName, parseSpiffeId, parseSpiffePattern } from '../pki/index.ts';
import { ServiceError, statusCode, type StatusName } from '../rpc/errors.ts';
import { AlertDescription } from '../tls/alert.ts';
import type { ExporterRequest, HandshakeFailure } from '../tls/config.ts';
import type { ClientAuthMode } from './config.ts';
import type { SessionOutcome } from './handshake.ts';
import {
  checkExporters,
  checkPins,
  type ClientRequest,
  type HandshakeRequest,
  type IdentityReference,
  invalid,
  parseTarget,
  peerPatterns,
  type ProvableName,
  type ServerRequest,
  type TargetIdentity,
  wireProtocols,
} from './handshake-request.ts';

/** A request of the protocol, in our own terms. */
export type IncomingMessage =
  | {
      readonly tag: 'start';
      readonly request: HandshakeRequest;
      readonly tokens: readonly string[];
      readonly keepStream: boolean;
    }
  | { readonly tag: 'next'; readonly bytes: Uint8Array }
  | { readonly tag: 'ticket'; readonly tokens: readonly string[] };

/** A response of the protocol, in our own terms. */
export interface OutgoingMessage {
  readonly handshakeId?: string;
  readonly localIdentity?: ProvableName | undefined;
  readonly outFrames?: Uint8Array;
  readonly bytesConsumed?: number;
  readonly session?: SessionOutcome;
  readonly failure?: ReportedFailure;
}

/** A failure as callers get to know it. */
export interface ReportedFailure {
  readonly status: StatusName;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** Absent: it did not come from the handshake itself. */
  readonly handshake?: HandshakeFailure;
}

/** Reads one SessionReq. Throws `ServiceError` for anything this sidecar has no meaning for. */
export function decodeRequest(bytes: Uint8Array): IncomingMessage {
  if (bytes.length > maxRequestBytes) {
    throw new ServiceError(
      'RESOURCE_EXHAUSTED',
      'request_too_large',
      `a request has at most ${String(maxRequestBytes)} bytes`,
    );
  }
  const message = parse(bytes);
  const tokens = message.authMechanisms.flatMap(
    ({ mechanismOneof }) => mechanismOneof?.value ?? [],
  );
  switch (message.reqOneof?.$case) {
    case 'clientStart': {
      const request = clientRequest(message.reqOneof.value);
      return { tag: 'start', request, tokens, keepStream: message.keepStream };
    }
    case 'serverStart': {
      const request = serverRequest(message.reqOneof.value);
      return { tag: 'start', request, tokens, keepStream: message.keepStream };
    }
    case 'next':
      return { tag: 'next', bytes: message.reqOneof.value.inBytes };
    case 'resumptionTicket':
      return { tag: 'ticket', tokens };
    case undefined:
      throw invalid('req_oneof', 'the request is of no known kind');
  }
}

/** One SessionResp; `status` is always present, as some callers insist. */
export function encodeResponse(message: OutgoingMessage): Buffer {
  const { failure, session } = message;
  const bytes = SessionResp.encode({
    localIdentity:
      message.localIdentity === undefined ? undefined : identity(message.localIdentity),
    outFrames: asBuffer(message.outFrames ?? empty),
    bytesConsumed: message.bytesConsumed ?? 0,
    result: session === undefined ? undefined : sessionResult(session),
    status:
      failure === undefined
        ? { code: 0, details: '' }
        : { code: statusCode(failure.status), details: failure.message },
    handshakeId: message.handshakeId ?? '',
    failure: failure === undefined ? undefined : sessionFailure(failure),
    ...(session === undefined ? {} : { localIdentity: identity(session.localIdentity) }),
  }).finish();
  return asBuffer(bytes);
}

function parse(bytes: Uint8Array): SessionReq {
  try {
    return SessionReq.decode(bytes);
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'malformed_request',
      'the request is not a SessionReq',
    );
  }
}

function clientRequest(start: ClientSessionStartReq): ClientRequest {
  checkVersions(start.minTlsVersion, start.maxTlsVersion);
  const target = parseTarget(start.targetName);
  const targetIdentities = start.targetIdentities.flatMap(targetIdentity);
  const pinnedPublicKeys = checkPins(start.pinnedPublicKeys);
  if (target === undefined && targetIdentities.length === 0 && pinnedPublicKeys.length === 0) {
    throw invalid('target_name', 'without it, target_identities must say who the peer has to be');
  }
  if (targetIdentities.length > 0 && pinnedPublicKeys.length > 0) {
    throw invalid('target_identities', 'a peer known by its key alone proves none');
  }
  return {
    role: 'client',
    ...wireProtocols(start.applicationProtocols),
    aeads: aeads(start.tlsCiphersuites),
    exporters: exporters(start.keyingMaterial),
    target,
    targetIdentities,
    pinnedPublicKeys,
    requireApplicationProtocol: requiresProtocol(start),
    identity: reference(start.localIdentity, start.identityName),
    anonymous: start.anonymous,
  };
}

function serverRequest(start: ServerSessionStartReq): ServerRequest {
  checkVersions(start.minTlsVersion, start.maxTlsVersion);
  const pinnedPublicKeys = checkPins(start.pinnedPublicKeys);
  const allowedPeers = peerPatterns(start.allowedPeers);
  if (allowedPeers.length > 0 && pinnedPublicKeys.length > 0) {
    throw invalid('allowed_peers', 'a peer known by its key alone proves no SPIFFE ID');
  }
  const mustProve = allowedPeers.length > 0 || pinnedPublicKeys.length > 0;
  const asked = clientAuth(start.clientAuth);
  if (mustProve && asked !== undefined && asked !== 'require') {
    throw invalid('client_auth', 'clients that must be somebody have to show a certificate');
  }
  return {
    role: 'server',
    ...wireProtocols(start.applicationProtocols),
    aeads: aeads(start.tlsCiphersuites),
    exporters: exporters(start.keyingMaterial),
    identities: [
      ...start.identityNames.map((name) => ({ kind: 'configured', name }) as const),
      ...start.localIdentities.flatMap((one) => provable(one, 'local_identities')),
    ],
    clientAuth: mustProve ? 'require' : asked,
    allowedPeers,
    pinnedPublicKeys,
    requireApplicationProtocol: requiresProtocol(start),
    firstBytes: start.inBytes,
  };
}

function checkVersions(min: TLSVersion, max: TLSVersion): void {
  for (const version of [min, max]) {
    if (!knownVersions.has(version)) {
      throw invalid('tls_version', `unknown version ${String(version)}`);
    }
  }
  if (min === TLSVersion.TLS1_3) {
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'version_not_supported',
      'min_tls_version is TLS 1.3, but this sidecar speaks TLS 1.2 only',
    );
  }
}

function aeads(suites: readonly Ciphersuite[]): readonly AeadAlgorithm[] | undefined {
  if (suites.length === 0) return undefined;
  return [...new Set(suites)].map((suite) => {
    const aead = aeadOf.get(suite);
    if (aead === undefined) throw invalid('tls_ciphersuites', `unknown suite ${String(suite)}`);
    return aead;
  });
}

function exporters(requests: readonly KeyingMaterialRequest[]): readonly ExporterRequest[] {
  return checkExporters(
    requests.map(({ label, length, context, hasContext }) => ({
      label,
      length,
      ...(hasContext ? { context } : {}),
    })),
  );
}

function clientAuth(value: ClientAuth): ClientAuthMode | undefined {
  switch (value) {
    case ClientAuth.UNSPECIFIED:
      return undefined;
    case ClientAuth.NONE:
      return 'none';
    case ClientAuth.REQUEST:
      return 'request';
    case ClientAuth.REQUIRE:
      return 'require';
    default:
      throw invalid('client_auth', `unknown value ${String(value)}`);
  }
}

function requiresProtocol(start: {
  readonly applicationProtocols: readonly string[];
  readonly requireApplicationProtocol: boolean;
}): boolean {
  if (!start.requireApplicationProtocol || start.applicationProtocols.length > 0) {
    return start.requireApplicationProtocol;
  }
  throw invalid('require_application_protocol', 'application_protocols must say which');
}

/** As {@link provable}, or all with a common beginning. */
function targetIdentity(value: Identity): readonly TargetIdentity[] {
  if (value.identityOneof?.$case !== 'spiffeId') {
    return provable(value, 'target_identities').flatMap((name) =>
      name.kind === 'dns' ? name : [],
    );
  }
  const pattern = parseSpiffePattern(value.identityOneof.value);
  if (pattern !== undefined) return [{ kind: 'spiffe', pattern }];
  throw invalid('target_identities', 'is not a SPIFFE ID');
}

function reference(value: Identity | undefined, name: string): IdentityReference | undefined {
  if (name !== '') return { kind: 'configured', name };
  return value === undefined ? undefined : provable(value, 'local_identity')[0];
}

/** An identity that states no name reads as none. */
function provable(value: Identity, field: string): readonly ProvableName[] {
  switch (value.identityOneof?.$case) {
    case undefined:
      return [];
    case 'spiffeId': {
      const id = value.identityOneof.value;
      if (parseSpiffeId(id) === undefined) throw invalid(field, 'is not a SPIFFE ID');
      return [{ kind: 'spiffe', id }];
    }
    case 'hostname': {
      const name = value.identityOneof.value.toLowerCase();
      if (!isHostName(name)) throw invalid(field, 'is not a host name');
      return [{ kind: 'dns', name }];
    }
    case 'uid':
    case 'username':
    case 'gcpId':
      throw invalid(field, `identities of kind ${value.identityOneof.$case} are not defined here`);
  }
}

function sessionResult(session: SessionOutcome): SessionResult {
  const { result } = session;
  return {
    applicationProtocol: session.applicationProtocol ?? '',
    state: {
      tlsVersion: TLSVersion.TLS1_2,
      tlsCiphersuite: suiteOf[result.cipherSuite.aead],
      inSequence: result.read.sequenceNumber,
      outSequence: result.write.sequenceNumber,
      inKey: asBuffer(result.read.key),
      outKey: asBuffer(result.write.key),
      inFixedNonce: asBuffer(result.read.fixedNonce),
      outFixedNonce: asBuffer(result.write.fixedNonce),
      connectionId: session.connectionId,
      isHandshakeResumed: result.resumed,
    },
    peerIdentity: session.peerIdentity === undefined ? undefined : identity(session.peerIdentity),
    localIdentity: identity(session.localIdentity),
    localCertFingerprint: asBuffer(session.localFingerprint ?? empty),
    peerCertFingerprint: asBuffer(session.peerFingerprint ?? empty),
    peerCertificates: result.peerCertificates.map(asBuffer),
    localCertificates: (result.credential?.certificates ?? []).map(asBuffer),
    cipherSuite: result.cipherSuite.code,
    namedGroup: result.namedGroup ?? 0,
    signatureScheme: result.signatureScheme ?? 0,
    keyingMaterial: result.keyingMaterial.map(asBuffer),
    serverName: session.role === 'server' ? (result.serverName ?? '') : '',
    extendedMasterSecret: result.extendedMasterSecret,
    localFinished: asBuffer(result.localFinished),
    peerFinished: asBuffer(result.peerFinished),
    peerPublicKeyHash: asBuffer(session.peerPublicKeyHash ?? empty),
    peerPinned: session.peerPinned,
  };
}

function sessionFailure({
  reason,
  retryAfterMs,
  handshake,
}: ReportedFailure): SessionResp['failure'] {
  return {
    reason,
    alert: alertNumber(handshake?.alert),
    alertSent: handshake?.alert !== undefined && handshake.kind !== 'peer_alert',
    alertReceived: handshake?.alert !== undefined && handshake.kind === 'peer_alert',
    phase: handshake?.phase ?? '',
    retryAfterMs: retryAfterMs ?? 0,
  };
}

/** Number of an alert by the name the engine gives it, `alert_<number>` for those without one. */
function alertNumber(name: string | undefined): number {
  if (name === undefined) return 0;
  const known = Object.entries(AlertDescription).find(([candidate]) => candidate === name);
  return known?.[1] ?? Number(/^alert_(\d{1,3})$/u.exec(name)?.[1] ?? 0);
}

function identity(name: ProvableName | undefined): Identity {
  switch (name?.kind) {
    case undefined:
      return { identityOneof: undefined, attributes: {} };
    case 'spiffe':
      return { identityOneof: { $case: 'spiffeId', value: name.id }, attributes: {} };
    case 'dns':
      return { identityOneof: { $case: 'hostname', value: name.name }, attributes: {} };
  }
}

/** The same bytes; generated types ask for Node's class. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const empty = new Uint8Array();

const suiteOf = {
  'aes-128-gcm': Ciphersuite.AES_128_GCM_SHA256,
  'aes-256-gcm': Ciphersuite.AES_256_GCM_SHA384,
  'chacha20-poly1305': Ciphersuite.CHACHA20_POLY1305_SHA256,
} as const;

const knownVersions: ReadonlySet<number> = new Set(Object.values(TLSVersion));

const aeadOf = new Map<Ciphersuite, AeadAlgorithm>([
  [Ciphersuite.AES_128_GCM_SHA256, 'aes-128-gcm'],
  [Ciphersuite.AES_256_GCM_SHA384, 'aes-256-gcm'],
  [Ciphersuite.CHACHA20_POLY1305_SHA256, 'chacha20-poly1305'],
]);

/** A flight of 64 KiB and what was left over from the one before it. */
const maxRequestBytes = 131_072;
