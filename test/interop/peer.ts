import type { Fixture } from './fixture.ts';

/** Key kinds of the matrix: what the certificates of both sides hold. */
export const keyNames = ['ecdsa', 'rsa', 'ed25519'] as const;
export type KeyName = (typeof keyNames)[number];

/** One row of the matrix: which keys, and whether the server asks for a certificate. */
export interface Row {
  readonly key: KeyName;
  readonly clientCertificate: boolean;
}

/** What one side says about a handshake. A field it does not tell is absent. */
export interface HandshakeView {
  readonly version?: string;
  /** IANA name of the cipher suite. */
  readonly suite?: string;
  readonly resumed?: boolean;
  readonly alpn?: string;
  readonly group?: string;
  /** Name in the ClientHello, where this side was the server. */
  readonly serverName?: string;
  /** Everything it tells about the other side's certificate; `'none'` if it saw none. */
  readonly peer?: string;
}

/** One TLS implementation we shake hands with. */
export interface Peer {
  readonly name: string;
  /** What is installed, or why it cannot take part. */
  probe(): Promise<Found | Missing>;
  /** Absent: the implementation has no server program here, for the reason `noServer`. */
  readonly server?: PeerServer;
  readonly noServer?: string;
  readonly client?: PeerClient;
  readonly noClient?: string;
}

export interface Found {
  readonly version: string;
}

export interface Missing {
  readonly missing: string;
}

export interface PeerServer {
  /** Why this row cannot be, or `undefined`. */
  cannot(row: Row): string | undefined;
  /** Why no second handshake can resume the first, or `undefined`. */
  cannotResume(row: Row): string | undefined;
  start(row: Row, fixture: Fixture): Promise<StartedServer>;
}

export interface StartedServer {
  readonly port: number;
  /** What our client has to send. */
  readonly request: Uint8Array;
  /** Our client sends no end of its own before it has seen this in the answer. */
  readonly answerEnd?: RegExp;
  /** Checks that the answer is whole and says what the server thinks of the handshake. */
  read(answer: Buffer): HandshakeView;
  stop(): Promise<void>;
}

export interface PeerClient {
  /** The one name it can ask for; absent: any. */
  readonly serverName?: string;
  cannot(row: Row): string | undefined;
  cannotResume(row: Row): string | undefined;
  /**
   * Fetches the server's page in a full handshake and, if the peer can, once more in a resumed
   * one. A run that failed is an error.
   */
  fetch(row: Row, target: Target, fixture: Fixture): Promise<readonly ClientRun[]>;
}

export interface Target {
  readonly port: number;
  /** To be sent as SNI and to be found in the certificate. */
  readonly serverName: string;
}

export interface ClientRun {
  /** All the client received from our server. */
  readonly page: string;
  readonly view: HandshakeView;
}

/** Where our server describes the handshake for programs. */
export const pagePath = '/status.json';

/** The request every client peer sends; the server closes after its answer. */
export function pageRequest(serverName: string): string {
  return `GET ${pagePath} HTTP/1.1\r\nHost: ${serverName}\r\nConnection: close\r\n\r\n`;
}
