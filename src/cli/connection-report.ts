import type { OffloadSocket } from '../offload/index.ts';
import { type Certificate, describeName, parseCertificate, spiffeIdOf } from '../pki/index.ts';
import { NamedGroup, nameOf, SignatureScheme } from '../tls/registries.ts';

/** What was negotiated and whom it was with; fields that do not apply are absent. */
export interface ConnectionReport {
  /** `TLSv1.2`. */
  readonly version: string;
  /** IANA name. */
  readonly suite: string;
  /** IANA name; absent on a resumed session, where no keys were exchanged. */
  readonly group?: string;
  /** IANA name of what the server signed with; absent on a resumed session. */
  readonly signatureScheme?: string;
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
  /** As a person reads it; may be empty. */
  readonly subject: string;
  readonly issuer: string;
  readonly spiffeId?: string;
  readonly dnsNames: readonly string[];
  /** SHA-256 of the DER: 64 hexadecimal digits. */
  readonly fingerprint256: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
}

/** What is known about a connection once its handshake has ended. */
export function reportConnection(socket: OffloadSocket): ConnectionReport {
  const { alpnProtocol, servername, namedGroup, signatureScheme } = socket;
  const { standardName } = socket.getCipher();
  return {
    version: socket.getProtocol() ?? 'unknown',
    suite: standardName,
    ...optional('group', namedGroup === undefined ? undefined : nameOf(NamedGroup, namedGroup)),
    ...optional(
      'signatureScheme',
      signatureScheme === undefined ? undefined : nameOf(SignatureScheme, signatureScheme),
    ),
    ...optional('alpn', alpnProtocol),
    ...optional('serverName', servername),
    resumed: socket.isSessionReused(),
    ...optional('peerIdentity', socket.peerIdentity),
    ...optional('localIdentity', socket.localIdentity),
    ...optional('handshakeId', socket.handshakeId),
    chain: socket.peerCertificateChain.map((der) => reportCertificate(parseCertificate(der))),
  };
}

/** What a person or program may want to know of a certificate. */
export function reportCertificate(certificate: Certificate): CertificateReport {
  return {
    subject: describeName(certificate.subject),
    issuer: describeName(certificate.issuer),
    ...optional('spiffeId', spiffeIdOf(certificate)),
    dnsNames: certificate.subjectAltNames.dnsNames,
    fingerprint256: Buffer.from(certificate.fingerprint).toString('hex'),
    notBefore: certificate.notBefore.toISOString(),
    notAfter: certificate.notAfter.toISOString(),
  };
}

/** Node says `false` or `null` where there is nothing. */
function optional<Name extends string>(
  name: Name,
  value: string | false | null | undefined,
): Partial<Record<Name, string>> {
  if (typeof value !== 'string') return {};
  const field: Partial<Record<Name, string>> = {};
  field[name] = value;
  return field;
}
