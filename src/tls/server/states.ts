import type { Credential, HandshakeResult, ServerConfig } from '../config.ts';
import type { KeyShare } from '../../crypto/key-exchange.ts';
import type { FinishedVerified } from '../handshake-finished.ts';
import type { HandshakeKeys, KeyScheduleInput } from '../handshake-keys.ts';
import type { ReceivedClientHello } from '../messages/client-hello.ts';
import type { PeerAuthentication, PeerKey } from '../peer-authentication.ts';
import type { NamedGroup, SignatureScheme } from '../registries.ts';
import type { ServerSession } from '../session-state.ts';
import type { Transcript } from '../transcript.ts';

// The server's view of a TLS 1.2 handshake (RFC 5246 §7.3, RFC 5077 §3.1):
//
//   full                                      resumed
//   ClientHello            -------->          ClientHello            -------->
//                          ServerHello                               ServerHello
//                          Certificate                               [NewSessionTicket]
//                          ServerKeyExchange                         [ChangeCipherSpec]
//                          [CertificateRequest]  <--------           Finished
//             <--------    ServerHelloDone    [ChangeCipherSpec]
//   [Certificate]                             Finished               -------->
//   ClientKeyExchange
//   [CertificateVerify]
//   [ChangeCipherSpec]
//   Finished               -------->
//                          [NewSessionTicket]
//                          [ChangeCipherSpec]
//             <--------    Finished
//
// Rules that live only in this union:
// - Certificate comes if and only if it was requested, CertificateVerify if and only if the list was
//   not empty (RFC 5246 §7.4.6, §7.4.8);
// - a client's chain is judged by the driver before its key exchange is looked at;
// - ChangeCipherSpec has no place before the keys exist (CVE-2014-0224);
// - Established needs the client's authentication and its Finished: nobody else makes those values.

/** One member per thing the server waits for, holding all that the rest needs. */
export type ServerState =
  | { readonly tag: 'ExpectClientHello'; readonly config: ServerConfig }
  | {
      readonly tag: 'AwaitResumptionVerdict';
      readonly greeting: Greeting;
      readonly resumption: Resumption;
    }
  | {
      readonly tag: 'AwaitServerKeyExchangeSignature';
      readonly negotiated: Negotiated;
      readonly exchange: KeyExchange;
      readonly params: Uint8Array;
    }
  | {
      readonly tag: 'ExpectCertificate';
      readonly negotiated: Negotiated;
      readonly exchange: KeyExchange;
    }
  | {
      readonly tag: 'AwaitClientVerdict';
      readonly negotiated: Negotiated;
      readonly exchange: KeyExchange;
      readonly certificates: readonly Uint8Array[];
    }
  | {
      readonly tag: 'ExpectClientKeyExchange';
      readonly negotiated: Negotiated;
      readonly exchange: KeyExchange;
      /** Absent: the client stays anonymous. */
      readonly client: PeerKey | undefined;
    }
  | {
      readonly tag: 'ExpectCertificateVerify';
      readonly negotiated: Negotiated;
      readonly exchange: KeyExchange;
      readonly keys: HandshakeKeys;
      readonly client: PeerKey;
    }
  | { readonly tag: 'ExpectChangeCipherSpec'; readonly keyed: Keyed; readonly order: FinishedOrder }
  | { readonly tag: 'ExpectFinished'; readonly keyed: Keyed; readonly order: FinishedOrder }
  | { readonly tag: 'Established'; readonly result: HandshakeResult };

/** One member of the union by its tag. */
export type StateOf<Tag extends ServerState['tag']> = Extract<ServerState, { readonly tag: Tag }>;

/** A ClientHello that passed all checks which do not depend on what is chosen. */
export interface Greeting {
  readonly config: ServerConfig;
  readonly hello: ReceivedClientHello;
  /** The message as it came. */
  readonly raw: Uint8Array;
  readonly applicationProtocol: string | undefined;
}

/** A session that may be resumed, and the credential it was made with. */
export interface Resumption {
  readonly session: ServerSession;
  readonly credential: Credential;
}

/** What both hellos agreed on. */
export interface Negotiated extends KeyScheduleInput {
  readonly config: ServerConfig;
  readonly transcript: Transcript;
  readonly serverName: string | undefined;
  readonly applicationProtocol: string | undefined;
  readonly credential: Credential;
  readonly ticketPromised: boolean;
}

/** Our half of the key exchange. */
export interface KeyExchange {
  readonly group: NamedGroup;
  readonly share: KeyShare;
  readonly scheme: SignatureScheme;
}

/** Keys exist; what is left is to agree that they are the same. */
export interface Keyed {
  readonly negotiated: Negotiated;
  readonly keys: HandshakeKeys;
  readonly authentication: PeerAuthentication;
  /** Absent on resumption. */
  readonly exchange: Pick<KeyExchange, 'group' | 'scheme'> | undefined;
  /** Time of the full handshake. */
  readonly createdAt: Date;
}

/** Who says Finished first: the client, unless the session is resumed. */
export type FinishedOrder =
  { readonly first: 'client' } | { readonly first: 'server'; readonly localFinished: Uint8Array };

/** Both Finished, and the proof that the client's was right. */
export interface FinishedPair {
  readonly local: Uint8Array;
  readonly peer: FinishedVerified;
}
