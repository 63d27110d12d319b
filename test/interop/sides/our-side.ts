import type { HandshakeView, Row } from '../peer.ts';

/** Our half of every cell: a server that shows its view as a page, and a client. */
export interface OurSide {
  readonly name: string;
  startServer(row: Row, options?: ServerOptions): Promise<OurServer>;
  connect(row: Row, target: ConnectTarget): Promise<OurConnection>;
  close(): Promise<void>;
}

export interface SideOptions {
  readonly alpn?: readonly string[];
}

export interface ServerOptions extends SideOptions {
  /** Shows its view of the handshake, or returns what it gets. */
  readonly mode?: 'www' | 'echo';
}

export interface OurServer {
  readonly port: number;
  /** What the page a peer received tells about the handshake. */
  readPage(page: string): HandshakeView;
  stop(): Promise<void>;
}

export interface ConnectTarget extends SideOptions {
  readonly port: number;
  readonly serverName: string;
  readonly request: Uint8Array;
  /** Close once the answer matches; absent: the server closes. */
  readonly answerEnd?: RegExp | undefined;
}

export interface OurConnection {
  readonly answer: Buffer;
  readonly view: HandshakeView;
}
