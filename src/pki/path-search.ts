import { equal } from '../bytes/bytes.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { CertificateError } from './certificate-error.ts';
import { type Certificate, describeCertificate } from './certificate.ts';
import type { CrlSet } from './crl-set.ts';
import { describeName } from './distinguished-name.ts';
import { checkNameConstraints } from './name-constraints.ts';
import { checkIssuer, isSelfIssued, type RuleContext } from './path-rules.ts';
import { verifyIssued } from './signature-algorithm.ts';
import { indexBySubject, latin1, type TrustAnchors } from './trust-anchors.ts';

/** How much one chain may cost. What hits a limit is refused, whatever it is. */
export interface PathBudget {
  /** Intermediates in a path, not counting self-issued ones. */
  readonly intermediates: number;
  readonly signatureChecks: number;
  /** Certificates tried as an issuer. */
  readonly expansions: number;
  /** Names against name constraints. */
  readonly nameComparisons: number;
}

export interface PathSearchOptions {
  readonly context: RuleContext;
  readonly anchors: TrustAnchors;
  readonly presented: readonly Certificate[];
  readonly crls: CrlSet | undefined;
  readonly cache: CertificateCache | undefined;
  readonly budget: PathBudget;
}

/**
 * Depth-first search for a path that obeys all rules: anchors first, then what the peer presented;
 * candidates are linked by the bytes of their names, key identifiers only order them
 * ({@link https://www.rfc-editor.org/rfc/rfc4158#section-3.5 | RFC 4158 §3.5}). A certificate with the
 * subject and key of one already in the path is never added, so it ends; the budget makes it end soon.
 */
export class PathSearch {
  readonly #options: PathSearchOptions;
  readonly #presented: ReadonlyMap<string, readonly Certificate[]>;
  /** What each candidate's own rules said: they do not depend on the path. */
  readonly #issuerErrors = new Map<Certificate, CertificateError | undefined>();
  readonly #signatures = new Map<Certificate, Map<Certificate, boolean>>();
  readonly #left: { -readonly [Item in keyof PathBudget]: number };
  /** The error met farthest from the leaf: the best account of why no path is good. */
  #failure: Failure | undefined;

  constructor(options: PathSearchOptions) {
    this.#options = options;
    this.#presented = indexBySubject(options.presented);
    this.#left = { ...options.budget };
  }

  /** The path from `leaf` to an anchor, both included. Throws `CertificateError`. */
  from(leaf: Certificate): readonly Certificate[] {
    const path = this.#extend([], leaf, 0);
    if (path !== undefined) return path;
    throw this.#failure?.error ?? unknownIssuer(leaf);
  }

  /** `intermediates` counts those in `below` that are not self-issued (RFC 5280 §6.1.4 (l)). */
  #extend(
    below: readonly Certificate[],
    current: Certificate,
    intermediates: number,
  ): readonly Certificate[] | undefined {
    const path = [...below, current];
    this.#note(path.length, unknownIssuer(current));
    for (const anchor of inLikelyOrder(this.#anchorsFor(current), current)) {
      const complete = [...path, anchor];
      const isGood = this.#try(path.length, () => {
        this.#checkLink(current, anchor, true, intermediates);
        this.#checkWhole(complete);
      });
      if (isGood) return complete;
    }
    for (const issuer of inLikelyOrder(this.#presentedFor(current), current)) {
      if (path.some((other) => isSameHolder(other, issuer))) continue;
      const count = intermediates + (isSelfIssued(issuer) ? 0 : 1);
      const isGood = this.#try(path.length, () => {
        this.#checkLink(current, issuer, false, intermediates);
        if (count > this.#left.intermediates) throw tooManyIntermediates(path[0] ?? current);
      });
      const complete = isGood ? this.#extend(path, issuer, count) : undefined;
      if (complete !== undefined) return complete;
    }
    return undefined;
  }

  /** Whether `issuer` may stand right above `current`, cheapest rules first. */
  #checkLink(
    current: Certificate,
    issuer: Certificate,
    isAnchor: boolean,
    intermediates: number,
  ): void {
    this.#spend('expansions', 1);
    this.#checkIssuerOnce(issuer, isAnchor);
    const pathLength = issuer.basicConstraints?.pathLength;
    if (pathLength !== undefined && intermediates > pathLength) {
      const message = `${describeCertificate(issuer)} allows ${String(pathLength)} intermediates below it, the chain has ${String(intermediates)}`;
      throw new CertificateError('bad_certificate', 'path_length_exceeded', message);
    }
    if (!this.#isSignedBy(current, issuer)) {
      throw namesKeyOf(current, issuer) ? badSignature(current, issuer) : unknownIssuer(current);
    }
  }

  /** Rules that need the whole path: name constraints of every CA, and revocation. */
  #checkWhole(path: readonly Certificate[]): void {
    for (const [height, ca] of path.entries()) {
      if (ca.nameConstraints === undefined) continue;
      for (const [index, certificate] of path.slice(0, height).entries()) {
        // RFC 5280 §6.1.3 (b), (c): not for self-issued certificates, unless it is the last.
        if (index > 0 && isSelfIssued(certificate)) continue;
        checkNameConstraints(ca, certificate, (comparisons) => {
          this.#spend('nameComparisons', comparisons);
        });
      }
    }
    const { crls, context } = this.#options;
    for (const [index, certificate] of path.entries()) {
      const issuer = path[index + 1];
      if (issuer !== undefined) crls?.check(certificate, issuer, context.now);
    }
  }

  #checkIssuerOnce(issuer: Certificate, isAnchor: boolean): void {
    if (!this.#issuerErrors.has(issuer)) {
      let found: CertificateError | undefined;
      try {
        checkIssuer(issuer, isAnchor, this.#options.context);
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error;
        found = error;
      }
      this.#issuerErrors.set(issuer, found);
    }
    const error = this.#issuerErrors.get(issuer);
    if (error !== undefined) throw error;
  }

  #isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
    const { cache } = this.#options;
    if (cache?.isSignedBy(certificate, issuer) === true) return true;
    const known = this.#signatures.get(certificate)?.get(issuer);
    if (known !== undefined) return known;
    const { signatureScheme } = certificate;
    const { keyKind } = issuer;
    if (signatureScheme === undefined || keyKind === undefined) return false;
    this.#spend('signatureChecks', 1);
    const { tbs, signature } = certificate;
    const genuine = verifyIssued(issuer.publicKey, keyKind, signatureScheme, tbs, signature);
    const results = this.#signatures.get(certificate) ?? new Map<Certificate, boolean>();
    this.#signatures.set(certificate, results.set(issuer, genuine));
    if (genuine) cache?.addSignedBy(certificate, issuer);
    return genuine;
  }

  #anchorsFor(certificate: Certificate): readonly Certificate[] {
    return this.#options.anchors.withSubject(certificate.issuer);
  }

  #presentedFor(certificate: Certificate): readonly Certificate[] {
    return this.#presented.get(latin1(certificate.issuer)) ?? [];
  }

  #try(length: number, check: () => void): boolean {
    try {
      check();
      return true;
    } catch (error) {
      if (!(error instanceof CertificateError) || error instanceof BudgetError) throw error;
      this.#note(length, error);
      return false;
    }
  }

  /** Farther from the leaf says more; at the same place, anything says more than "unknown". */
  #note(length: number, error: CertificateError): void {
    const previous = this.#failure;
    const saysMore =
      previous === undefined ||
      length > previous.length ||
      (length === previous.length && previous.error.reason === UNKNOWN_ISSUER);
    if (saysMore) this.#failure = { length, error };
  }

  #spend(item: 'expansions' | 'signatureChecks' | 'nameComparisons', amount: number): void {
    this.#left[item] -= amount;
    if (this.#left[item] < 0) throw new BudgetError();
  }
}

interface Failure {
  readonly length: number;
  readonly error: CertificateError;
}

/** Ends the whole search, unlike the error of one path. */
class BudgetError extends CertificateError {
  constructor() {
    const message = 'the chain takes more work to verify than any chain should';
    super('bad_certificate', 'chain_too_complex', message);
  }
}

/** Those whose key identifier is the one named first, those that name another last (RFC 4158 §3.5.12). */
function inLikelyOrder(
  candidates: readonly Certificate[],
  certificate: Certificate,
): readonly Certificate[] {
  if (candidates.length < 2) return candidates;
  const rank = (candidate: Certificate) => {
    if (namesKeyOf(certificate, candidate)) return 0;
    return candidate.subjectKeyId === undefined || certificate.authorityKeyId === undefined ? 1 : 2;
  };
  return candidates.toSorted((a, b) => rank(a) - rank(b));
}

function namesKeyOf(certificate: Certificate, issuer: Certificate): boolean {
  const { authorityKeyId } = certificate;
  const { subjectKeyId } = issuer;
  if (authorityKeyId === undefined || subjectKeyId === undefined) return false;
  return equal(authorityKeyId, subjectKeyId);
}

function isSameHolder(a: Certificate, b: Certificate): boolean {
  return equal(a.subject, b.subject) && equal(a.publicKeyInfo, b.publicKeyInfo);
}

function unknownIssuer(certificate: Certificate): CertificateError {
  const message = isSelfIssued(certificate)
    ? `${describeCertificate(certificate)} is self-signed and not trusted`
    : `${describeCertificate(certificate)} is issued by ${describeName(certificate.issuer)}, which is not known`;
  return new CertificateError('unknown_ca', UNKNOWN_ISSUER, message);
}

function badSignature(certificate: Certificate, issuer: Certificate): CertificateError {
  const message = `the signature on ${describeCertificate(certificate)} is not one of ${describeCertificate(issuer)}`;
  return new CertificateError('bad_certificate', 'bad_certificate_signature', message);
}

function tooManyIntermediates(leaf: Certificate): CertificateError {
  const message = `the chain of ${describeCertificate(leaf)} has too many intermediates`;
  return new CertificateError('bad_certificate', 'chain_too_long', message);
}

const UNKNOWN_ISSUER = 'unknown_issuer';
