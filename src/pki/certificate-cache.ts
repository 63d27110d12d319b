import { copyOf } from '../bytes/bytes.ts';
import { hash } from '../crypto/hash.ts';
import { BoundedMap } from './bounded-map.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { latin1 } from './trust-anchors.ts';

/**
 * Keeps the intermediates peers present, parsed and with their keys imported, and which of them are
 * known to be signed by which issuer. Holds facts about bytes, never verdicts: dates, constraints and
 * revocation are judged anew each time.
 */
export class CertificateCache {
  readonly #certificates: BoundedMap<string, Certificate>;
  #signedBy = new WeakMap<Certificate, WeakSet<Certificate>>();

  constructor(options: { readonly capacity?: number } = {}) {
    this.#certificates = new BoundedMap(options.capacity ?? DEFAULT_CAPACITY);
  }

  get size(): number {
    return this.#certificates.size;
  }

  /** The parsed certificate; `der` is copied. Throws `CertificateError`. */
  parse(der: Uint8Array): Certificate {
    const key = latin1(hash('sha256', der));
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const certificate = parseCertificate(copyOf(der));
    this.#certificates.set(key, certificate);
    return certificate;
  }

  isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
    return this.#signedBy.get(certificate)?.has(issuer) ?? false;
  }

  /** Remembers that the signature on `certificate` was verified with the key of `issuer`. */
  addSignedBy(certificate: Certificate, issuer: Certificate): void {
    const issuers = this.#signedBy.get(certificate) ?? new WeakSet();
    issuers.add(issuer);
    this.#signedBy.set(certificate, issuers);
  }

  clear(): void {
    this.#certificates.clear();
    this.#signedBy = new WeakMap();
  }
}

/** Intermediates in use at once are few, even in a large fleet; 256 of 1.5 KB are no burden. */
const DEFAULT_CAPACITY = 256;
