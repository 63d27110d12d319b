import { concat, equal } from '../bytes/bytes.ts';
import { verifySignature } from '../crypto/signatures.ts';
import type { TrustBundle } from '../gen/sidekey/v1/certificate_authority.ts';
import { TrustBundleContent } from '../gen/sidekey/v1/certificate_authority.ts';
import {
  type Certificate,
  createTrustAnchors,
  keyIdentifier,
  parseCertificate,
  type TrustAnchors,
} from '../pki/index.ts';
import { defaultScheme, verifyIssued } from '../pki/signature-algorithm.ts';

/** Whom a host believes, and where its authority is. */
export interface TrustState {
  readonly trustDomain: string;
  /** Grows. 0: from the enrolment bundle. */
  readonly sequence: number;
  /** Of the store it comes from; empty: from the enrolment bundle. */
  readonly epoch: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** DER: for chains that lack them. */
  readonly intermediates: readonly Uint8Array[];
  readonly anchors: TrustAnchors;
  /** host:port of the authority. */
  readonly addresses: readonly string[];
  readonly createdAt: Date;
}

/** A trust bundle that is not to be followed; the message says why. */
export class TrustBundleError extends Error {
  override readonly name = 'TrustBundleError';
}

/** What the enrolment bundle says, to begin with. Throws `CertificateError`. */
export function pinnedTrust(pinned: {
  readonly trustDomain: string;
  readonly roots: readonly Uint8Array[];
  readonly addresses: readonly string[];
}): TrustState {
  return {
    ...pinned,
    sequence: 0,
    epoch: '',
    intermediates: [],
    anchors: createTrustAnchors(pinned.roots.map((der) => parseCertificate(der))),
    createdAt: new Date(0),
  };
}

/**
 * Follows from one version of the trust bundle to another: its content must be signed by a root known
 * already, or by one that a known root has certified. Answers `known` itself when nothing is new.
 * Throws {@link TrustBundleError} for a bundle of another domain, without such a signature, or older
 * than what is known, which could bring a root back that was taken out.
 */
export function followTrust(known: TrustState, bundle: TrustBundle): TrustState {
  const next = readTrustBundle(bundle);
  if (next.trustDomain !== known.trustDomain) {
    throw refused(`is of trust domain ${printable(next.trustDomain)}, not ${known.trustDomain}`);
  }
  if (next.epoch === known.epoch && next.sequence === known.sequence) {
    if (sameRoots(known, next)) return known;
    throw refused(`has number ${String(next.sequence)} as the one known, but other roots`);
  }
  checkSuccession(known, next);
  if (!isVouchedFor(known, next, bundle)) {
    throw refused(
      'is signed by no root known here: this host was away for more than one change of roots, or ' +
        'somebody else made it',
    );
  }
  return next;
}

/**
 * Reads a bundle without asking who signed it: for those kept by ourselves. Throws
 * {@link TrustBundleError} for what is malformed or too large.
 */
export function readTrustBundle({ content, signatures }: TrustBundle): TrustState {
  if (content.length > maxContentBytes) throw refused('is too long');
  if (signatures.length > maxRoots * 2) throw refused('has too many signatures');
  const decoded = decoding(() => TrustBundleContent.decode(content));
  const { roots, intermediates, addresses, sequence } = decoded;
  if (roots.length === 0) throw refused('has no root');
  if (roots.length > maxRoots || intermediates.length > maxIntermediates) {
    throw refused('has too many certificates');
  }
  if (addresses.length > maxAddresses) throw refused('has too many addresses');
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER)) throw refused('has a number out of range');
  const anchors = decoding(() => roots.map((der) => readCa(der)));
  return {
    trustDomain: decoded.trustDomain,
    sequence: Number(sequence),
    epoch: decoded.epoch,
    roots: roots.map((der) => Uint8Array.from(der)),
    intermediates: intermediates.map((der) => Uint8Array.from(der)),
    anchors: createTrustAnchors(anchors),
    addresses,
    createdAt: decoded.createdAt ?? new Date(0),
  };
}

/** What a root signs. */
export function signedBundleBytes(content: Uint8Array): Uint8Array {
  return concat(signedContext, content);
}

/** A store restored from a backup has a new epoch, and may count from an older number. */
function checkSuccession(known: TrustState, next: TrustState): void {
  if (known.epoch === '' || next.epoch === known.epoch) {
    if (next.sequence > known.sequence) return;
    throw refused(
      `has number ${String(next.sequence)}, older than ${String(known.sequence)}, which is known`,
    );
  }
  if (next.createdAt.getTime() >= known.createdAt.getTime()) return;
  throw refused(
    `of ${next.createdAt.toISOString()} is older than the one known, of ${known.createdAt.toISOString()}`,
  );
}

function isVouchedFor(known: TrustState, next: TrustState, bundle: TrustBundle): boolean {
  const content = signedBundleBytes(bundle.content);
  const believed = [...known.anchors.certificates, ...certifiedRoots(known, next)];
  return bundle.signatures.some((each) =>
    believed.some((root) => {
      const id = root.subjectKeyId ?? keyIdentifier(root.publicKeyInfo);
      if (root.keyKind === undefined || !equal(id, each.keyIdentifier)) return false;
      const scheme = defaultScheme(root.keyKind);
      return verifySignature(root.publicKey, scheme, content, each.signature);
    }),
  );
}

/**
 * Roots of the new bundle that known ones have certified, for a host that slept through a whole
 * rotation. A certificate counts only if it may have CAs below it: an issuing CA, which may not, must
 * not be able to call itself a root.
 */
function certifiedRoots(known: TrustState, next: TrustState): readonly Certificate[] {
  const believed = [...known.anchors.certificates];
  const candidates = new Set(next.anchors.certificates);
  const cross = next.intermediates.flatMap((der) => {
    const certificate = decoding(() => parseCertificate(der));
    const { isCa = false, pathLength = 1 } = certificate.basicConstraints ?? {};
    return isCa && pathLength > 0 ? [certificate] : [];
  });
  const found: Certificate[] = [];
  for (let grown = true; grown;) {
    grown = false;
    for (const root of candidates) {
      if (!cross.some((each) => certifies(each, root, believed))) continue;
      candidates.delete(root);
      believed.push(root);
      found.push(root);
      grown = true;
    }
  }
  return found;
}

function certifies(
  cross: Certificate,
  root: Certificate,
  issuers: readonly Certificate[],
): boolean {
  const { signatureScheme } = cross;
  if (signatureScheme === undefined || !equal(cross.publicKeyInfo, root.publicKeyInfo))
    return false;
  return issuers.some(
    (issuer) =>
      issuer.keyKind !== undefined &&
      equal(issuer.subject, cross.issuer) &&
      verifyIssued(issuer.publicKey, issuer.keyKind, signatureScheme, cross.tbs, cross.signature),
  );
}

function readCa(der: Uint8Array): Certificate {
  const certificate = parseCertificate(Uint8Array.from(der));
  if (certificate.basicConstraints?.isCa === true) return certificate;
  throw refused('has a root that is not a CA');
}

function sameRoots(known: TrustState, next: TrustState): boolean {
  return equal(known.anchors.digest, next.anchors.digest);
}

function decoding<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (cause instanceof TrustBundleError) throw cause;
    throw refused('cannot be read', { cause });
  }
}

function refused(problem: string, options?: ErrorOptions): TrustBundleError {
  return new TrustBundleError(`the trust bundle ${problem}`, options);
}

function printable(text: string): string {
  return `"${text.slice(0, 100).replace(/[^\x20-\x7e]/g, '?')}"`;
}

const signedContext = Buffer.from('sidekey trust bundle v1\0', 'latin1');
const maxContentBytes = 512 * 1024;
const maxRoots = 32;
const maxIntermediates = 128;
const maxAddresses = 32;
