import type { KeyObject } from 'node:crypto';
import type { KeyKind } from '../crypto/keys.ts';
import type { KeyShare } from '../crypto/key-exchange.ts';
import type { AlertName } from './alert.ts';
import type { CipherSuite } from './cipher-suites.ts';
import type { NamedGroup, SignatureScheme } from './registries.ts';

/**
 * What both roles need to know before the first byte. Randomness, key generation and time come in
 * here, so a recorded handshake replays byte for byte.
 */
export interface HandshakeConfig {
  /** Cryptographically strong bytes. */
  readonly random: (length: number) => Uint8Array;
  /** A fresh ephemeral key pair; never used twice. */
  readonly generateKeyShare: (group: NamedGroup) => KeyShare;
  readonly now: () => Date;
  /** Suites allowed, most preferred first. */
  readonly cipherSuites: readonly CipherSuite[];
  /** Groups allowed, most preferred first. */
  readonly namedGroups: readonly NamedGroup[];
  /** Schemes accepted from the peer, most preferred first. */
  readonly signatureSchemes: readonly SignatureScheme[];
  /** ALPN names, most preferred first; empty: ALPN is neither offered nor answered. */
  readonly applicationProtocols: readonly string[];
  readonly requireExtendedMasterSecret: boolean;
  /** Secrets to derive before the master secret is wiped (RFC 5705). */
  readonly exporters: readonly ExporterRequest[];
}

export interface ClientConfig extends HandshakeConfig {
  readonly role: 'client';
  /** Name for SNI: a lower-case A-label, never an address. Absent: no extension. */
  readonly serverName?: string;
  /** What we may answer a CertificateRequest with, most preferred first; empty: no certificate. */
  readonly credentials: readonly Credential[];
  /**
   * Fail here, instead of sending an empty list, if the server asks for a certificate and none of
   * `credentials` fits.
   */
  readonly requireCredential: boolean;
  /** RFC 5746 §4.1: refuse a server that does not indicate secure renegotiation. */
  readonly requireRenegotiationInfo: boolean;
  /** Refuse a server that chooses none of our protocols; absent: go on without one. */
  readonly requireApplicationProtocol?: boolean;
  /** Whether to ask for a ticket; implied by `session`. */
  readonly sessionTickets: boolean;
  /** A session to offer. The caller has checked that it still fits trust, policy and target. */
  readonly session?: ClientSession;
}

export interface ServerConfig extends HandshakeConfig {
  readonly role: 'server';
  /** What we may show, most preferred first; not empty. */
  readonly credentials: readonly Credential[];
  /** What to do when no credential is for the name the client asked for. */
  readonly unknownServerName: 'default' | 'refuse';
  readonly clientAuth: 'none' | 'request' | 'require';
  /** DER names for CertificateRequest; empty: any. */
  readonly certificateAuthorities: readonly Uint8Array[];
  /** Refuse a client whose ALPN list is missing although we have one. */
  readonly requireApplicationProtocol: boolean;
  /** Seals and opens tickets; absent: no resumption. */
  readonly tickets?: TicketProtector;
  /**
   * Digest of everything outside the handshake on which resumption depends (trust generation,
   * policy, caller). A ticket made under another context leads to a full handshake.
   */
  readonly sessionContext: Uint8Array;
}

/** RFC 5705 §4; `context` absent and empty differ. */
export interface ExporterRequest {
  readonly label: string;
  readonly length: number;
  readonly context?: Uint8Array;
}

/** A certificate chain with its key. The key itself stays with whoever answers `sign` actions. */
export interface Credential {
  /** Name of the identity, for `sign` actions and results. */
  readonly name: string;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  readonly keyKind: KeyKind;
  /** Bytes of the RSA modulus; 0 for other keys. PSS with SHA-512 does not fit 1024-bit keys. */
  readonly rsaModulusBytes: number;
  /** Whether the leaf is for this (lower-case) DNS name. */
  readonly matchesServerName: (name: string) => boolean;
  /** DER names of the issuers of all certificates in the chain. */
  readonly issuerNames: readonly Uint8Array[];
  /** Schemes the certificates of the chain are signed with. */
  readonly chainSchemes: readonly number[];
  /** What the key may sign with, most preferred first. Absent: all that fits it. */
  readonly signatureSchemes?: readonly SignatureScheme[];
}

/** Stateless session tickets (RFC 5077). Opaque to the engine. */
export interface TicketProtector {
  /** Lifetime hint for NewSessionTicket and limit of a session's age, from its full handshake. */
  readonly lifetimeSeconds: number;
  seal(plaintext: Uint8Array): Uint8Array;
  /** `undefined` for anything not sealed by us with a key still held. */
  open(ticket: Uint8Array): Uint8Array | undefined;
}

/** What a client keeps to resume. Holds the master secret: stays in the sidecar's memory. */
export interface ClientSession {
  readonly ticket: Uint8Array;
  readonly cipherSuite: CipherSuite;
  readonly masterSecret: Uint8Array;
  readonly serverName: string | undefined;
  /** Time of the full handshake. */
  readonly createdAt: Date;
  readonly lifetimeHintSeconds: number;
  /** The server's certificates, DER, leaf first. */
  readonly peerCertificates: readonly Uint8Array[];
  /** What we showed in the full handshake. */
  readonly credential: Credential | undefined;
}

/**
 * What the engine asks of its driver, in order. Bytes in actions belong to the driver.
 *
 * After `sign` or `verifyChain` the engine waits for `signed` or `verified`; bytes received
 * meanwhile are kept. After `established` or `failed` it is done.
 */
export type Action =
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  | SignAction
  | VerifyChainAction
  | EstablishedAction
  | FailedAction;

export interface SignAction {
  readonly type: 'sign';
  readonly credential: Credential;
  readonly scheme: SignatureScheme;
  /** The bytes to be signed, not yet hashed. */
  readonly content: Uint8Array;
}

export interface VerifyChainAction {
  readonly type: 'verifyChain';
  /** DER, as the peer sent them; not empty. */
  readonly certificates: readonly Uint8Array[];
  /** What the peer's leaf has to be good for. */
  readonly purpose: 'server' | 'client';
  /**
   * The peer did not prove possession now but in the session being resumed. A refusal then leads
   * to a full handshake, not to an alert.
   */
  readonly resumed: boolean;
  /** Of servers: what we show, or showed in the session being resumed. */
  readonly credential?: Credential;
  /** DER of the OCSPResponse a server sent along; not empty, not looked at. Absent: it sent none. */
  readonly stapledOcsp?: Uint8Array;
}

export interface EstablishedAction {
  readonly type: 'established';
  readonly result: HandshakeResult;
  /**
   * How many of the bytes received last lie behind the last handshake record: they are not ours. Of
   * a driver that receives while an operation is pending, counts back over several calls.
   */
  readonly trailingBytes: number;
}

export interface FailedAction {
  readonly type: 'failed';
  readonly failure: HandshakeFailure;
}

/** Answer to `verifyChain`. */
export type ChainVerdict =
  | { readonly ok: true; readonly publicKey: KeyObject; readonly keyKind: KeyKind }
  | {
      readonly ok: false;
      readonly alert: AlertName;
      readonly reason: string;
      readonly message: string;
    };

export interface HandshakeFailure {
  /** Who is at fault. */
  readonly kind: 'peer' | 'local' | 'peer_alert' | 'peer_closed';
  /** Name of the alert we sent or received; absent if none was. */
  readonly alert?: string;
  /** Stable identifier for programs. */
  readonly reason: string;
  /** One sentence for a person; no secret. */
  readonly message: string;
  /** Tag of the state in which it failed. */
  readonly phase: string;
  /** Internal errors: what was thrown; for the log. */
  readonly cause?: unknown;
}

/** Protection of one direction, ready to continue in another process. */
export interface TrafficKeys {
  readonly key: Uint8Array;
  readonly fixedNonce: Uint8Array;
  /** Number of the next record. */
  readonly sequenceNumber: bigint;
}

export interface HandshakeResult {
  readonly cipherSuite: CipherSuite;
  readonly applicationProtocol: string | undefined;
  readonly resumed: boolean;
  readonly extendedMasterSecret: boolean;
  /** The name in the ClientHello. */
  readonly serverName: string | undefined;
  /** Absent on resumption. */
  readonly namedGroup: NamedGroup | undefined;
  /** What the server signed with; absent on resumption. */
  readonly signatureScheme: SignatureScheme | undefined;
  /** What the peer signed with; absent on resumption and if it showed no certificate. */
  readonly peerSignatureScheme: SignatureScheme | undefined;
  /** What we showed. */
  readonly credential: Credential | undefined;
  /** DER, leaf first; empty if the peer showed none. From the session on resumption. */
  readonly peerCertificates: readonly Uint8Array[];
  readonly read: TrafficKeys;
  readonly write: TrafficKeys;
  readonly localFinished: Uint8Array;
  readonly peerFinished: Uint8Array;
  /** One value per exporter request; empty without extended master secret. */
  readonly keyingMaterial: readonly Uint8Array[];
  /** Clients: what to offer next time, if the server sent a ticket. */
  readonly session: ClientSession | undefined;
}

/** The door of the engine; made by `createClientHandshake` and `createServerHandshake`. */
export interface Handshake {
  /** Tag of the current state, by RFC message name; for logs. */
  readonly phase: string;
  /** Once, first: a client answers with its ClientHello. */
  start(): readonly Action[];
  /** Bytes of the peer, cut in any way. Kept bytes are copied. */
  receive(bytes: Uint8Array): readonly Action[];
  /** Answer to `sign`. */
  signed(signature: Uint8Array): readonly Action[];
  /** Answer to `verifyChain`. */
  verified(verdict: ChainVerdict): readonly Action[];
  /** The driver gives up (deadline, key backend): sends `alert`, ends as failed at our fault. */
  abort(alert: AlertName, reason: string, message: string): readonly Action[];
  /**
   * Overwrites all secrets, those in the result included (but for its `session`, which is the
   * driver's): safe at any time, more than once. Ends a handshake that is still going on.
   */
  wipe(): void;
}
