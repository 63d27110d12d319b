import {
  type Certificate,
  CertificateError,
  ChainVerdictCache,
  checkStaple,
  createTrustAnchors,
  parseCertificate,
  spiffeIdOf,
  type TrustAnchors,
  type VerifiedChain,
} from '../pki/index.ts';
import type { CredentialSource, SourceTrust } from './credential-source.ts';
import type { ChainPurpose, PeerTrust } from './peer-trust.ts';

/**
 * What an enrolled identity believes: the roots of its trust domain as the authority announces them,
 * less the certificates it has revoked.
 */
export class EnrolledTrust implements PeerTrust {
  readonly #source: CredentialSource;
  readonly #verdicts: ChainVerdictCache;
  readonly #now: () => Date;
  #bundle: Bundle = { trust: undefined, anchors: createTrustAnchors([]), intermediates: [] };
  #generation = 0;

  constructor(source: CredentialSource, now: () => Date) {
    this.#source = source;
    this.#verdicts = new ChainVerdictCache({ now });
    this.#now = now;
    this.refresh();
  }

  get generation(): number {
    return this.#generation;
  }

  get anchors(): TrustAnchors {
    return this.#bundle.anchors;
  }

  /**
   * Takes up the bundle the source has now; answers whether it is another one. Throws
   * `CertificateError` for a bundle that cannot be read, and stays with the one it has.
   */
  refresh(): boolean {
    const { trust } = this.#source;
    if (trust === this.#bundle.trust) return false;
    this.#bundle = {
      trust,
      anchors: createTrustAnchors((trust?.roots ?? []).map((der) => parseCertificate(der))),
      intermediates: trust?.intermediates ?? [],
    };
    this.#generation += 1;
    return true;
  }

  verify(certificates: readonly Uint8Array[], purpose: ChainPurpose): VerifiedChain {
    const chain = this.#verified(certificates, purpose);
    for (const certificate of chain.path) {
      if (this.isRevoked(certificate)) throw revoked(certificate === chain.leaf);
    }
    return chain;
  }

  checkStaple({ leaf, path }: VerifiedChain, response: Uint8Array | undefined): void {
    checkStaple({ response, leaf, issuer: path[1] ?? leaf, now: this.#now() });
  }

  isRevoked(certificate: Certificate): boolean {
    const serial = significant(certificate.serialNumber);
    return this.#source.revocations.isRevoked({ serial, spiffeId: spiffeIdOf(certificate) });
  }

  /** A peer that has not heard of a new root yet may lack what leads to it. */
  #verified(certificates: readonly Uint8Array[], purpose: ChainPurpose): VerifiedChain {
    const { anchors, intermediates } = this.#bundle;
    try {
      return this.#verdicts.verify({ certificates, anchors, ...purpose });
    } catch (error) {
      if (!(error instanceof CertificateError) || error.reason !== 'unknown_issuer') throw error;
      if (intermediates.length === 0) throw error;
      const completed = [...certificates, ...intermediates];
      return this.#verdicts.verify({ certificates: completed, anchors, ...purpose });
    }
  }
}

interface Bundle {
  readonly trust: SourceTrust | undefined;
  readonly anchors: TrustAnchors;
  readonly intermediates: readonly Uint8Array[];
}

function revoked(isLeaf: boolean): CertificateError {
  const which = isLeaf ? 'the certificate of the peer' : 'an issuer of the peer';
  return new CertificateError('certificate_revoked', 'certificate_revoked', `${which} was revoked`);
}

/** An INTEGER without the zero in front that keeps it positive. */
export function significant(serial: Uint8Array): Uint8Array {
  let start = 0;
  while (start < serial.length - 1 && serial[start] === 0) start += 1;
  return serial.subarray(start);
}
