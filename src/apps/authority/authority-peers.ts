import type { Generation } from '../../ca/generations/generation.ts';
import { identifyPeer, type PeerIdentity } from '../../ca/service/peer-identity.ts';
import {
  type Certificate,
  CertificateError,
  ChainVerdictCache,
  createTrustAnchors,
  parseCertificate,
  type TrustAnchors,
  verifyChain,
} from '../../pki/index.ts';
import type { JudgedPeer } from '../in-process-tls/judged-peer.ts';

export interface AuthorityPeersOptions {
  readonly trustDomain: string;
  /** All of this authority, as they are now. */
  readonly generations: () => readonly Generation[];
  /** Whether a certificate, or its holder, was revoked. */
  readonly isRevoked: (leaf: Certificate) => boolean;
  /** How long after its end a host's certificate is still let in, so that it can be renewed. */
  readonly expiredGraceMs: number;
  readonly now: () => Date;
}

/** Who may connect to an authority: hosts with a certificate of its own, and bundles' credentials. */
export class AuthorityPeers {
  readonly #options: AuthorityPeersOptions;
  /** Hosts come again, and all of them with the same issuing CA. */
  readonly #verdicts: ChainVerdictCache;
  #from: readonly Generation[] = [];
  #anchors: Anchors | undefined;

  constructor(options: AuthorityPeersOptions) {
    this.#options = options;
    this.#verdicts = new ChainVerdictCache({ now: options.now });
  }

  /** DER names of the CAs that sign now, as a hint to clients. */
  authorityNames(): readonly Uint8Array[] {
    const { hosts, enrolment } = this.#current();
    return [...hosts.certificates, ...enrolment.certificates].map(({ subject }) => subject);
  }

  /**
   * Judges the chain of a client. Throws `CertificateError`. A host's certificate is good for a while
   * after its end, as it is the one with which the host asks for another; what it may still do is for
   * the service to say.
   */
  judge(certificates: readonly Uint8Array[]): JudgedPeer<PeerIdentity> {
    const leaf = this.#verified(certificates);
    const { trustDomain, generations, isRevoked } = this.#options;
    const peer = identifyPeer(leaf, generations(), trustDomain);
    if (peer === undefined) {
      throw new CertificateError(
        'certificate_unknown',
        'not_a_host',
        'the certificate is neither that of a host nor the credential of a bundle',
      );
    }
    if (isRevoked(leaf)) {
      const message = 'the certificate of the client was revoked';
      throw new CertificateError('certificate_revoked', 'certificate_revoked', message);
    }
    return { leaf, peer, identity: peer.kind === 'host' ? peer.spiffeId : undefined };
  }

  #verified(certificates: readonly Uint8Array[]): Certificate {
    const [der] = certificates;
    if (der === undefined) {
      throw new CertificateError('bad_certificate', 'no_certificate', 'the chain is empty');
    }
    const { issuer, notAfter } = parseCertificate(der);
    const { hosts, enrolment } = this.#current();
    const common = { certificates, purpose: 'client' } as const;
    if (enrolment.withSubject(issuer).length > 0) {
      return this.#verdicts.verify({ ...common, anchors: enrolment }).leaf;
    }
    const lateMs = this.#options.now().getTime() - notAfter.getTime();
    if (lateMs <= 0 || lateMs > this.#options.expiredGraceMs) {
      return this.#verdicts.verify({ ...common, anchors: hosts }).leaf;
    }
    // As of its last moment: rare enough not to be remembered.
    return verifyChain({ ...common, anchors: hosts, now: notAfter }).leaf;
  }

  /** Roots that were announced, and CAs of credentials: a key that was given up vouches for nobody. */
  #current(): Anchors {
    const generations = this.#options.generations();
    if (this.#anchors !== undefined && generations === this.#from) return this.#anchors;
    const trusted = generations.filter(({ state }) => vouching.has(state));
    const certificatesOf = (kind: Generation['kind']): TrustAnchors =>
      createTrustAnchors(
        trusted.filter((one) => one.kind === kind).map(({ certificate }) => certificate),
      );
    this.#from = generations;
    this.#anchors = { hosts: certificatesOf('root'), enrolment: certificatesOf('enrolment') };
    return this.#anchors;
  }
}

interface Anchors {
  readonly hosts: TrustAnchors;
  readonly enrolment: TrustAnchors;
}

const vouching: ReadonlySet<Generation['state']> = new Set([
  'published',
  'signing',
  'draining',
  'tainted',
]);
