import type { X509Certificate } from 'node:crypto';
import type { Duplex, DuplexOptions } from 'node:stream';
import type { CipherNameAndProtocol, EphemeralKeyInfo, PeerCertificate } from 'node:tls';
import { equal } from '../bytes/bytes.ts';
import { NamedGroup } from '../tls/registries.ts';
import { legacyCertificate, x509 } from './certificate-view.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';
import { type PublicKeyHash, publicKeyHashOf } from './public-key-hash.ts';
import type { KeyingMaterialRequest, Session } from './session.ts';
import { SocketSurface } from './socket-surface.ts';

/** A session without its traffic keys, which the record layer has. */
export type SessionFacts = Omit<Session, 'read' | 'write'>;

/** The part of `tls.TLSSocket` that tells what was negotiated and with whom. */
export abstract class TlsSurface extends SocketSurface {
  /** Always true: distinguishes TLS sockets from others. */
  readonly encrypted = true;
  readonly role: 'client' | 'server';
  /** Application protocol agreed on by ALPN; `false`: none; `null`: not known yet. */
  alpnProtocol: string | false | null = null;
  /** Name asked for by SNI: ours on a client, the peer's wish on a server. */
  servername: string | false | null = null;
  /** Whether the sidecar verified a certificate of the peer. */
  authorized = false;
  /** Why not; `null` if there was nothing to verify. */
  authorizationError: string | null = null;
  /** Server that accepted the connection; HTTP servers of Node set and read it. */
  server: unknown;
  protected session: SessionFacts | undefined;
  readonly #keyingMaterial: readonly KeyingMaterialRequest[];

  protected constructor(
    raw: Duplex,
    role: 'client' | 'server',
    keyingMaterial: readonly KeyingMaterialRequest[],
    options: DuplexOptions,
  ) {
    super(raw, options);
    this.role = role;
    this.#keyingMaterial = keyingMaterial;
  }

  /** Whether the handshake has not ended yet. */
  get secureConnecting(): boolean {
    return this.session === undefined && !this.destroyed;
  }

  /** SPIFFE ID, or else the DNS name, that the peer proved. */
  get peerIdentity(): string | undefined {
    return this.session?.peerIdentity;
  }

  /**
   * Hash of the peer's public key, `sha256:` and hexadecimal; absent: it showed no certificate. For a
   * peer of `pinnedPublicKeys` this is all that is known of it.
   */
  get peerPublicKeyHash(): PublicKeyHash | undefined {
    return publicKeyHashOf(this.peerCertificateChain);
  }

  /** What was proved to the peer. */
  get localIdentity(): string | undefined {
    return this.session?.localIdentity;
  }

  /** Finds this handshake in the sidecar's log. */
  get handshakeId(): string | undefined {
    return this.session?.handshakeId;
  }

  getProtocol(): 'TLSv1.2' | 'unknown' | null {
    if (this.session === undefined) return this.destroyed ? null : 'unknown';
    return 'TLSv1.2';
  }

  getCipher(): CipherNameAndProtocol | Record<string, never> {
    const suite = this.session?.cipherSuite;
    if (suite === undefined) return {};
    return { name: suite.openSslName, standardName: suite.name, version: 'TLSv1.2' };
  }

  /** Clients: the group of the key exchange; empty on resumed sessions. Servers: `null`. */
  getEphemeralKeyInfo(): EphemeralKeyInfo | Record<string, never> | null {
    if (this.role === 'server') return null;
    return groups.get(this.session?.namedGroup ?? 0) ?? {};
  }

  /** IANA number of the group of the key exchange; absent on resumed sessions. */
  get namedGroup(): number | undefined {
    return this.session?.namedGroup;
  }

  /** IANA number of the scheme the server signed with; absent on resumed sessions. */
  get signatureScheme(): number | undefined {
    return this.session?.signatureScheme;
  }

  getPeerCertificate(detailed = false): PeerCertificate | Record<string, never> {
    return legacyCertificate(this.session?.peerCertificates ?? [], detailed);
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return x509(this.session?.peerCertificates ?? []);
  }

  /** The peer's certificates as sent, DER, leaf first. */
  get peerCertificateChain(): readonly Uint8Array[] {
    return this.session?.peerCertificates ?? [];
  }

  getCertificate(): PeerCertificate | Record<string, never> {
    return legacyCertificate(this.session?.localCertificates ?? [], false);
  }

  getX509Certificate(): X509Certificate | undefined {
    return x509(this.session?.localCertificates ?? []);
  }

  /** Our Finished message's verify_data (RFC 5929 §3). */
  getFinished(): Buffer | undefined {
    return asBuffer(this.session?.localFinished);
  }

  getPeerFinished(): Buffer | undefined {
    return asBuffer(this.session?.peerFinished);
  }

  isSessionReused(): boolean {
    return this.session?.resumed ?? false;
  }

  /** Whether the extended master secret was used (RFC 7627). */
  get extendedMasterSecret(): boolean {
    return this.session?.extendedMasterSecret ?? false;
  }

  /**
   * {@link https://www.rfc-editor.org/rfc/rfc5705#section-4 | RFC 5705 §4}. The master secret stays
   * in the sidecar, so label, length and context have to be declared before the handshake by the
   * option `keyingMaterial`; anything else throws. The result is a copy the caller owns.
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    const index = this.#keyingMaterial.findIndex(
      (request) =>
        request.label === label &&
        request.length === length &&
        (request.context === undefined
          ? context === undefined
          : context !== undefined && equal(request.context, context)),
    );
    if (index < 0) {
      throw new OffloadError(
        OffloadErrorCode.notDeclared,
        `keying material "${label}" of ${String(length)} bytes was not declared before the handshake`,
      );
    }
    const material = this.session?.keyingMaterial[index];
    if (material === undefined) {
      throw new OffloadError(
        OffloadErrorCode.notDeclared,
        this.session === undefined
          ? 'there is no keying material before the handshake has ended'
          : 'the session has no extended master secret, so nothing is exported (RFC 7627 §5.4)',
      );
    }
    return Buffer.from(material);
  }

  /** Sessions are kept by the sidecar: there is nothing to hand out. */
  getSession(): Buffer | undefined {
    return undefined;
  }

  getTLSTicket(): Buffer | undefined {
    return undefined;
  }

  /** Never done: it would need the engine back on an established connection. */
  renegotiate(): never {
    throw new OffloadError(
      OffloadErrorCode.renegotiation,
      'TLS 1.2 renegotiation is not supported',
    );
  }

  protected adopt(session: SessionFacts, askedName: string | undefined): void {
    this.session = session;
    this.alpnProtocol = session.applicationProtocol ?? false;
    this.servername = (this.role === 'server' ? session.serverName : askedName) ?? false;
    this.authorized = session.peerCertificates.length > 0 || session.peerIdentity !== undefined;
  }
}

function asBuffer(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes);
}

/** As OpenSSL names and sizes them. */
const groups = new Map<number, EphemeralKeyInfo>([
  [NamedGroup.secp256r1, { type: 'ECDH', name: 'prime256v1', size: 256 }],
  [NamedGroup.secp384r1, { type: 'ECDH', name: 'secp384r1', size: 384 }],
  [NamedGroup.x25519, { type: 'ECDH', name: 'X25519', size: 253 }],
]);
