import type { X509Certificate } from 'node:crypto';
import type { OffloadSocket } from '../offload/index.ts';

/** What was negotiated and whom it was with; fields that do not apply are absent. */
export interface ConnectionReport {
  /** `TLSv1.2`. */
  readonly version: string;
  /** IANA name. */
  readonly suite: string;
  /** IANA name; absent on a resumed session, where no keys were exchanged. */
  readonly group?: string;
  /** ALPN name. */
  readonly alpn?: string;
  /** Name in the ClientHello. */
  readonly serverName?: string;
  readonly resumed: boolean;
  /** SPIFFE ID, or else a DNS name, that the peer proved. */
  readonly peerIdentity?: string;
  /** What we proved to the peer. */
  readonly localIdentity?: string;
  /** Names the handshake in the sidecar's log. */
  readonly handshakeId?: string;
  /** The peer's certificates, leaf first; empty if it showed none. */
  readonly chain: readonly CertificateReport[];
}

export interface CertificateReport {
  readonly subject: string;
  /** As Node prints it: `DNS:example.org, URI:spiffe://…`. */
  readonly subjectAltName?: string;
  /** SHA-256 of the DER: 64 hexadecimal digits. */
  readonly fingerprint256: string;
  /** ISO 8601. */
  readonly notAfter: string;
}
