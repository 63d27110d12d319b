import type { ClientConfig, ClientSession, Credential, HandshakeResult } from '../config.ts';
import type { FinishedVerified } from '../handshake-finished.ts';
import type { HandshakeKeys, KeyScheduleInput } from '../handshake-keys.ts';
import type { CertificateRequest } from '../messages/certificate-request.ts';
import type { HandshakeMessage } from '../messages/handshake-message.ts';
import type { NewSessionTicket } from '../messages/new-session-ticket.ts';
import type { PeerAuthentication, PeerKey } from '../peer-authentication.ts';
import type { NamedGroup, SignatureScheme } from '../registries.ts';
import type { Transcript } from '../transcript.ts';

// The client's view of a TLS 1.2 handshake (RFC 5246 §7.3, RFC 5077 §3.1, RFC 6066 §8):
//
//   full                                          resumed
//   ClientHello            -------->              ClientHello            -------->
//                          ServerHello                                   ServerHello
//                          Certificate                                   [NewSessionTicket]
//                          [CertificateStatus]                           [ChangeCipherSpec]
//                          ServerKeyExchange                  <--------  Finished
//                          [CertificateRequest]   [ChangeCipherSpec]
//             <--------    ServerHelloDone        Finished               -------->
//   [Certificate]
//   ClientKeyExchange
//   [CertificateVerify]
//   [ChangeCipherSpec]
//   Finished               -------->
//                          [NewSessionTicket]
//                          [ChangeCipherSpec]
//             <--------    Finished
//
// Rules that live only in this union:
// - CertificateStatus may come, right behind Certificate, only if ServerHello acknowledged the wish for
//   one; the server may still leave it out (RFC 6066 §8);
// - a Certificate is judged by the driver, with its CertificateStatus, before anything the server says
//   under its key is looked at: a ServerKeyExchange that shows there is no status is kept till then;
// - NewSessionTicket comes if and only if ServerHello promised it (RFC 5077 §3.3);
// - Established needs the server's authentication and its Finished: nobody else makes those values.

/** One member per thing the client waits for, holding all that the rest needs. */
export type ClientState =
  | { readonly tag: 'Start' }
  | { readonly tag: 'ExpectServerHello'; readonly offer: Offer }
  | { readonly tag: 'ExpectCertificate'; readonly negotiated: Negotiated }
  | {
      readonly tag: 'ExpectCertificateStatusOrServerKeyExchange';
      readonly negotiated: Negotiated;
      readonly certificates: readonly Uint8Array[];
    }
  | {
      readonly tag: 'AwaitServerVerdict';
      readonly negotiated: Negotiated;
      readonly certificates: readonly Uint8Array[];
      /** Came where a CertificateStatus could have; not looked at yet. */
      readonly keyExchange: HandshakeMessage | undefined;
    }
  | {
      readonly tag: 'ExpectServerKeyExchange';
      readonly negotiated: Negotiated;
      readonly server: PeerKey;
    }
  | {
      readonly tag: 'ExpectCertificateRequestOrServerHelloDone';
      readonly negotiated: Negotiated;
      readonly share: ServerShare;
    }
  | {
      readonly tag: 'ExpectServerHelloDone';
      readonly negotiated: Negotiated;
      readonly share: ServerShare;
      readonly request: CertificateRequest;
    }
  | {
      readonly tag: 'AwaitCertificateVerifySignature';
      readonly keyed: Keyed;
      readonly scheme: SignatureScheme;
    }
  | { readonly tag: 'ExpectNewSessionTicket'; readonly keyed: Keyed; readonly order: FinishedOrder }
  | {
      readonly tag: 'ExpectChangeCipherSpec';
      readonly keyed: Keyed;
      readonly order: FinishedOrder;
      readonly ticket: NewSessionTicket | undefined;
    }
  | {
      readonly tag: 'ExpectFinished';
      readonly keyed: Keyed;
      readonly order: FinishedOrder;
      readonly ticket: NewSessionTicket | undefined;
    }
  | { readonly tag: 'Established'; readonly result: HandshakeResult };

/** One member of the union by its tag. */
export type StateOf<Tag extends ClientState['tag']> = Extract<ClientState, { readonly tag: Tag }>;

/** What we said in the ClientHello. */
export interface Offer {
  readonly config: ClientConfig;
  readonly transcript: Transcript;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  /** What the server may answer. */
  readonly extensionTypes: readonly number[];
  readonly session: ClientSession | undefined;
}

/** What both hellos agreed on. */
export interface Negotiated extends KeyScheduleInput {
  readonly offer: Offer;
  readonly applicationProtocol: string | undefined;
  readonly ticketPromised: boolean;
  /** A CertificateStatus may follow. */
  readonly statusAcknowledged: boolean;
}

/** The server's half of the key exchange, signed by it. */
export interface ServerShare {
  readonly group: NamedGroup;
  readonly point: Uint8Array;
  readonly authentication: PeerAuthentication;
}

/** Keys exist; what is left is to agree that they are the same. */
export interface Keyed {
  readonly negotiated: Negotiated;
  readonly keys: HandshakeKeys;
  readonly authentication: PeerAuthentication;
  /** Absent on resumption. */
  readonly group: NamedGroup | undefined;
  readonly credential: Credential | undefined;
  /** Time of the full handshake. */
  readonly createdAt: Date;
}

/** Who says Finished first: the client, unless the session is resumed. */
export type FinishedOrder =
  { readonly first: 'client'; readonly localFinished: Uint8Array } | { readonly first: 'server' };

/** Both Finished, and the proof that the server's was right. */
export interface FinishedPair {
  readonly local: Uint8Array;
  readonly peer: FinishedVerified;
}
