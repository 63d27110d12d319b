import { hash } from '../crypto/hash.ts';
import { CertificateError } from './certificate-error.ts';
import { type Certificate, describeCertificate } from './certificate.ts';
import type { Crl } from './crl.ts';
import { describeName } from './distinguished-name.ts';
import { verifyIssued } from './signature-algorithm.ts';
import { latin1 } from './trust-anchors.ts';

/**
 * The CRLs a verifier has, found by issuer. Immutable: new CRLs are a new set. What the signature on
 * a CRL is worth is checked once for each issuer certificate and remembered.
 */
export class CrlSet {
  readonly #crls = new Map<string, Crl[]>();
  readonly #genuine = new WeakMap<Crl, WeakMap<Certificate, boolean>>();
  readonly #whenMissing: 'accept' | 'refuse';
  /** SHA-256 over CRLs and policy: the same for the same content in the same order. */
  readonly digest: Uint8Array;

  /**
   * `whenMissing`: what to make of a certificate whose issuer none of the CRLs is from. One whose
   * issuer has CRLs here of which none is usable is always refused.
   */
  constructor(crls: readonly Crl[], options: { readonly whenMissing: 'accept' | 'refuse' }) {
    this.#whenMissing = options.whenMissing;
    for (const crl of crls) {
      const key = latin1(crl.issuer);
      this.#crls.set(key, [...(this.#crls.get(key) ?? []), crl]);
    }
    const policy = Uint8Array.of(options.whenMissing === 'refuse' ? 1 : 0);
    this.digest = hash('sha256', policy, ...crls.map(({ der }) => hash('sha256', der)));
  }

  /**
   * Refuses a certificate that its issuer revoked
   * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-6.3.3 | RFC 5280 §6.3.3}): direct CRLs only, signed
   * by the very certificate above it in the path.
   *
   * Throws `CertificateError`: `certificate_revoked`, `revocation_unknown`.
   */
  check(certificate: Certificate, issuer: Certificate, now: Date): void {
    const crls = this.#crls.get(latin1(certificate.issuer)) ?? [];
    const isCa = certificate.basicConstraints?.isCa === true;
    const inScope = crls.filter(({ scope }) => scope === 'all' || (scope === 'cas') === isCa);
    if (inScope.length === 0) {
      if (this.#whenMissing === 'accept') return;
      throw unknown(certificate, `there is no CRL of ${describeName(certificate.issuer)}`);
    }
    const usable = inScope.filter((crl) => isCurrent(crl, now) && this.#isGenuine(crl, issuer));
    if (usable.length === 0) {
      const name = describeName(certificate.issuer);
      throw unknown(certificate, `no CRL of ${name} is current and signed by it`);
    }
    for (const crl of usable) {
      const entry = crl.revoked(certificate.serialNumber);
      if (entry === undefined) continue;
      throw new CertificateError(
        'certificate_revoked',
        'certificate_revoked',
        `${describeCertificate(certificate)} was revoked at ${entry.revokedAt.toISOString()} (${entry.reason})`,
      );
    }
  }

  /** When the first CRL of this issuer runs out, if there is one. */
  endFor(issuerName: Uint8Array): Date | undefined {
    const crls = this.#crls.get(latin1(issuerName));
    if (crls === undefined) return undefined;
    return new Date(Math.min(...crls.map(({ nextUpdate }) => nextUpdate.getTime())));
  }

  #isGenuine(crl: Crl, issuer: Certificate): boolean {
    const results = this.#genuine.get(crl) ?? new WeakMap<Certificate, boolean>();
    this.#genuine.set(crl, results);
    const known = results.get(issuer);
    if (known !== undefined) return known;
    const genuine = isSignedBy(crl, issuer);
    results.set(issuer, genuine);
    return genuine;
  }
}

/** Whether a CRL is one of this CA: name, key usage (RFC 5280 §6.3.3 (f)) and signature. */
export function isSignedBy(crl: Crl, issuer: Certificate): boolean {
  if (Buffer.compare(crl.issuer, issuer.subject) !== 0 || issuer.keyKind === undefined)
    return false;
  if (issuer.keyUsage?.includes('cRLSign') === false) return false;
  const { publicKey, keyKind } = issuer;
  return verifyIssued(publicKey, keyKind, crl.signatureScheme, crl.tbs, crl.signature);
}

function isCurrent(crl: Crl, now: Date): boolean {
  return (
    now.getTime() >= crl.thisUpdate.getTime() && now.getTime() < crl.nextUpdate.getTime() + 1000
  );
}

function unknown(certificate: Certificate, problem: string): CertificateError {
  return new CertificateError(
    'unknown_ca',
    'revocation_unknown',
    `whether ${describeCertificate(certificate)} is revoked is not known: ${problem}`,
  );
}
