import { cipherSuiteByCode, cipherSuites, type CipherSuite } from '../tls/cipher-suites.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';
import { isMeant } from './peer-pattern.ts';
import { isOneOfKeys } from './public-key-hash.ts';

/** A name a certificate proves. */
export type PeerName =
  | { readonly type: 'spiffe'; readonly id: string }
  | { readonly type: 'hostname'; readonly name: string };

/** A secret to be exported from the session (RFC 5705 §4), asked for before the handshake. */
export interface KeyingMaterialRequest {
  readonly label: string;
  /** Bytes, 1 to 1024. */
  readonly length: number;
  /** Absent and empty differ. */
  readonly context?: Uint8Array;
}

/** Protection of one direction, as the sidecar hands it over. */
export interface TrafficKeys {
  readonly key: Uint8Array;
  readonly fixedNonce: Uint8Array;
  readonly sequenceNumber: bigint;
}

/** What a finished handshake leaves with the application. */
export interface Session {
  readonly cipherSuite: CipherSuite;
  readonly applicationProtocol: string | undefined;
  readonly resumed: boolean;
  readonly extendedMasterSecret: boolean;
  readonly read: TrafficKeys;
  readonly write: TrafficKeys;
  readonly peerIdentity: string | undefined;
  readonly localIdentity: string | undefined;
  /** DER, leaf first; empty if none was shown. */
  readonly peerCertificates: readonly Uint8Array[];
  readonly localCertificates: readonly Uint8Array[];
  /** IANA numbers; `undefined` on resumed sessions. */
  readonly namedGroup: number | undefined;
  readonly signatureScheme: number | undefined;
  readonly serverName: string | undefined;
  readonly keyingMaterial: readonly Uint8Array[];
  readonly localFinished: Uint8Array | undefined;
  readonly peerFinished: Uint8Array | undefined;
  readonly handshakeId: string | undefined;
}

/** What the wire says, before it is judged. */
export interface UncheckedSession {
  readonly session: Omit<Session, 'cipherSuite' | 'handshakeId'>;
  readonly version: 'TLSv1.2' | 'other';
  /** IANA number; 0 from sidecars that do not say. */
  readonly cipherSuiteCode: number;
  readonly aead: CipherSuite['aead'] | undefined;
  readonly peerFingerprint: Uint8Array;
  /** Hash of the public key for which alone the peer was accepted. */
  readonly pinnedPeer: Uint8Array | undefined;
}

/** What a result has to agree with. */
export interface SessionExpectation {
  readonly role: 'client' | 'server';
  readonly clientAuth: 'none' | 'request' | 'require' | undefined;
  readonly applicationProtocols: readonly string[];
  readonly keyingMaterial: readonly KeyingMaterialRequest[];
  readonly pinnedPublicKeys?: readonly Uint8Array[];
  /** Of servers. */
  readonly allowedPeers?: readonly string[];
  readonly requireApplicationProtocol?: boolean;
}

/**
 * Takes a result only if every field fits the others and what was asked for: a wrong key length or
 * an unknown pair of version and suite must not become a connection. Throws `OffloadError`.
 */
export function checkSession(
  wire: UncheckedSession,
  expected: SessionExpectation,
  handshakeId: string | undefined,
): Session {
  const { session } = wire;
  const refuse = (message: string): OffloadError =>
    new OffloadError(OffloadErrorCode.protocol, `sidecar's result: ${message}`, {
      phase: 'handshake',
      handshakeId,
    });
  if (wire.version !== 'TLSv1.2') throw refuse('a version other than TLS 1.2');
  const cipherSuite = suiteOf(wire);
  if (cipherSuite === undefined) throw refuse('unknown cipher suite');
  for (const keys of [session.read, session.write]) {
    if (keys.key.length !== cipherSuite.keyLength) {
      throw refuse(`key of ${String(keys.key.length)} bytes for ${cipherSuite.name}`);
    }
    if (keys.fixedNonce.length !== cipherSuite.fixedNonceLength) {
      throw refuse(`nonce of ${String(keys.fixedNonce.length)} bytes for ${cipherSuite.name}`);
    }
  }
  const { applicationProtocol } = session;
  if (
    applicationProtocol !== undefined &&
    !expected.applicationProtocols.includes(applicationProtocol)
  ) {
    throw refuse('an application protocol that was not asked for');
  }
  const peerProved = wire.peerFingerprint.length > 0 || session.peerCertificates.length > 0;
  const peerMustProve = expected.role === 'client' || expected.clientAuth === 'require';
  if (peerMustProve && !peerProved) throw refuse('a peer without a certificate');
  checkPeer(wire, expected, refuse);
  // A sidecar of before these wishes does not know them, and must not seem to have granted them.
  if (expected.requireApplicationProtocol === true && applicationProtocol === undefined) {
    throw refuse('no application protocol, though one is required');
  }
  checkKeyingMaterial(session.keyingMaterial, expected, refuse);
  return { ...session, cipherSuite, handshakeId };
}

function checkPeer(
  { session, pinnedPeer }: UncheckedSession,
  { pinnedPublicKeys = [], allowedPeers = [] }: SessionExpectation,
  refuse: (message: string) => OffloadError,
): void {
  if (pinnedPublicKeys.length > 0) {
    if (pinnedPeer === undefined || !isOneOfKeys(pinnedPeer, pinnedPublicKeys)) {
      throw refuse('a peer whose key is not pinned');
    }
  } else if (pinnedPeer !== undefined) {
    throw refuse('a peer accepted for its key, though none was pinned');
  }
  if (allowedPeers.length > 0 && !isMeant(session.peerIdentity, allowedPeers)) {
    throw refuse('a peer that is not allowed');
  }
}

function suiteOf(wire: UncheckedSession): CipherSuite | undefined {
  if (wire.cipherSuiteCode === 0) return cipherSuites.find((suite) => suite.aead === wire.aead);
  const suite = cipherSuiteByCode(wire.cipherSuiteCode);
  return suite?.aead === wire.aead ? suite : undefined;
}

function checkKeyingMaterial(
  material: readonly Uint8Array[],
  expected: SessionExpectation,
  refuse: (message: string) => OffloadError,
): void {
  // None at all is how a session without extended master secret says that it has no exporter.
  if (material.length === 0) return;
  const fits =
    material.length === expected.keyingMaterial.length &&
    expected.keyingMaterial.every(({ length }, index) => material[index]?.length === length);
  if (!fits) throw refuse('keying material that was not asked for');
}
