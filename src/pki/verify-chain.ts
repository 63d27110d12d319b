import { copyOf } from '../bytes/bytes.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { CertificateError } from './certificate-error.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import type { CrlSet } from './crl-set.ts';
import { checkLeaf, type Purpose } from './path-rules.ts';
import { type PathBudget, PathSearch } from './path-search.ts';
import type { TrustAnchors } from './trust-anchors.ts';

export interface VerifyChainOptions {
  /** DER as the peer sent it: leaf first, the rest in any order and possibly useless. Copied. */
  readonly certificates: readonly Uint8Array[];
  /** Of the leaf's trust domain only: never a union of bundles. */
  readonly anchors: TrustAnchors;
  readonly now: Date;
  readonly purpose: Purpose;
  /** TLS signature schemes the chain may be signed with; absent: all we verify. */
  readonly allowedSchemes?: readonly number[];
  /** Refuse a leaf that does not state its purpose; for identities by host name. */
  readonly requireExtendedKeyUsage?: boolean;
  readonly crls?: CrlSet;
  readonly budget?: Partial<PathBudget>;
  /** Parsed intermediates shared between calls. */
  readonly cache?: CertificateCache;
}

export interface VerifiedChain {
  readonly leaf: Certificate;
  /** From the leaf to the anchor, both included. */
  readonly path: readonly Certificate[];
  /** When the first certificate of the path, or CRL used, ceases to be good. */
  readonly notAfter: Date;
}

/**
 * Finds and verifies a path from a peer's leaf to an anchor
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-6 | RFC 5280 §6}). Says that the leaf is genuine and
 * fit for the purpose; whether it is the peer that was wanted is for the name checks.
 *
 * Throws `CertificateError` with the alert the peer should get. The work is bounded by the budget.
 */
export function verifyChain(options: VerifyChainOptions): VerifiedChain {
  const { certificates, cache, now, purpose } = options;
  const [leafDer, ...otherDers] = certificates;
  if (leafDer === undefined) {
    throw new CertificateError('bad_certificate', 'no_certificate', 'the chain is empty');
  }
  if (certificates.length > MAX_CERTIFICATES) {
    const message = `the peer sent more than ${String(MAX_CERTIFICATES)} certificates`;
    throw new CertificateError('bad_certificate', 'chain_too_long', message);
  }
  const context = {
    now,
    purpose,
    requireExtendedKeyUsage: options.requireExtendedKeyUsage ?? false,
    allowedSchemes: options.allowedSchemes,
  };
  const leaf = parseCertificate(copyOf(leafDer));
  checkLeaf(leaf, context);
  const presented = otherDers.map((der) => cache?.parse(der) ?? parseCertificate(copyOf(der)));
  const search = new PathSearch({
    context,
    anchors: options.anchors,
    presented,
    crls: options.crls,
    cache,
    budget: { ...defaultBudget, ...options.budget },
  });
  const path = search.from(leaf);
  return { leaf, path, notAfter: earliestEnd(path, options.crls) };
}

function earliestEnd(path: readonly Certificate[], crls: CrlSet | undefined): Date {
  const ends = path.map(({ notAfter }) => notAfter.getTime());
  for (const certificate of path) {
    const end = crls?.endFor(certificate.issuer)?.getTime();
    if (end !== undefined) ends.push(end);
  }
  return new Date(Math.min(...ends));
}

/** Ten are usual limits of TLS stacks; more than that is not a chain but an attack. */
const MAX_CERTIFICATES = 64;

/**
 * Ample for real chains. What hurts is signatures: one of P-384 costs milliseconds, and whoever can
 * reach a listener can make us check them, so their number stays near that of the longest real chain
 * with some names shared.
 */
const defaultBudget: PathBudget = {
  intermediates: 6,
  signatureChecks: 32,
  expansions: 2000,
  nameComparisons: 10_000,
};
