import { isAcceptableKey } from '../crypto/signatures.ts';
import { CertificateError, type CertificateAlert } from './certificate-error.ts';
import { type Certificate, describeCertificate } from './certificate.ts';
import { isEmptyName } from './distinguished-name.ts';
import { isPresentedName } from './host-name.ts';
import { hasWorkloadId } from './spiffe-id.ts';

/** What a leaf must be good for: `server` when we are the client, and the other way round. */
/** `recipient`: a certificate messages are encrypted for (S/MIME's emailProtection, RFC 8550). */
export type Purpose = 'server' | 'client' | 'recipient';

/** What a rule may depend on. */
export interface RuleContext {
  readonly now: Date;
  readonly purpose: Purpose;
  readonly requireExtendedKeyUsage: boolean;
  /** TLS numbers a chain may be signed with; absent: all we verify. */
  readonly allowedSchemes: readonly number[] | undefined;
}

/**
 * The rules a leaf must obey by itself
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-6.1.3 | RFC 5280 §6.1.3, §6.1.5}), before anyone
 * looks for its issuer. Throws `CertificateError`.
 */
export function checkLeaf(leaf: Certificate, context: RuleContext): void {
  checkLeafUse(leaf, context);
  checkAlternativeNames(leaf);
}

/** Those of {@link checkLeaf} that are not about names. Throws `CertificateError`. */
export function checkLeafUse(leaf: Certificate, context: RuleContext): void {
  checkCommon(leaf, context);
  if (leaf.basicConstraints?.isCa === true) {
    throw refuse('bad_certificate', 'peer_certificate_is_ca', leaf, 'is a CA certificate');
  }
  if (leaf.keyUsage !== undefined) {
    if (leaf.keyUsage.includes('keyCertSign')) {
      throw refuse('bad_certificate', 'peer_certificate_is_ca', leaf, 'may sign certificates');
    }
    const wanted: readonly string[] = keyUsages[context.purpose];
    if (!leaf.keyUsage.some((usage) => wanted.includes(usage))) {
      const rule = `has a key usage without ${wanted.join(' or ')}`;
      throw refuse('unsupported_certificate', 'wrong_key_usage', leaf, rule);
    }
  }
  if (leaf.nameConstraints !== undefined) {
    throw refuse('bad_certificate', 'malformed_certificate', leaf, 'has name constraints');
  }
  if (leaf.extendedKeyUsage === undefined && context.requireExtendedKeyUsage) {
    const rule = 'has no extended key usage';
    throw refuse('unsupported_certificate', 'wrong_extended_key_usage', leaf, rule);
  }
  if (!isAcceptableKey(leaf.publicKey)) throw weakKey(leaf);
}

/**
 * The rules a CA certificate must obey by itself to issue another one (RFC 5280 §6.1.4 (k)-(o)), be it
 * an intermediate or an anchor. Throws `CertificateError`.
 */
export function checkIssuer(issuer: Certificate, isAnchor: boolean, context: RuleContext): void {
  if (issuer.version !== 3 || issuer.basicConstraints?.isCa !== true) {
    throw refuse('bad_certificate', 'issuer_is_not_ca', issuer, 'is not a CA certificate');
  }
  if (!issuer.basicConstraints.critical) {
    const rule = 'has basic constraints that are not critical';
    throw refuse('bad_certificate', 'issuer_is_not_ca', issuer, rule);
  }
  if (issuer.keyUsage !== undefined && !issuer.keyUsage.includes('keyCertSign')) {
    throw refuse('bad_certificate', 'issuer_may_not_sign', issuer, 'may not sign certificates');
  }
  if (isEmptyName(issuer.subject)) {
    throw refuse('bad_certificate', 'malformed_certificate', issuer, 'is a CA without a name');
  }
  if (hasWorkloadId(issuer)) {
    const rule = 'is a CA with the SPIFFE ID of a workload';
    throw refuse('bad_certificate', 'issuer_has_workload_id', issuer, rule);
  }
  if (isAnchor) checkAnchor(issuer, context);
  else checkCommon(issuer, context);
  if (!isAcceptableKey(issuer.publicKey)) throw weakKey(issuer);
}

/** Whether subject and issuer are the same name (RFC 5280 §3.2). */
export function isSelfIssued(certificate: Certificate): boolean {
  return Buffer.compare(certificate.issuer, certificate.subject) === 0;
}

/**
 * RFC 5280 §6.1 takes an anchor's word for everything; we hold anchors to what they say about
 * themselves, as a bundle is a set of certificates and not of bare keys.
 */
function checkAnchor(anchor: Certificate, context: RuleContext): void {
  checkKeyKind(anchor);
  checkValidity(anchor, context.now, 'issuer_certificate');
  checkCriticalExtensions(anchor);
  checkExtendedKeyUsage(anchor, context.purpose);
}

/** What all certificates of a path but the anchor have to obey. */
function checkCommon(certificate: Certificate, context: RuleContext): void {
  checkKeyKind(certificate);
  const isCa = certificate.basicConstraints?.isCa === true;
  checkValidity(certificate, context.now, isCa ? 'issuer_certificate' : 'peer_certificate');
  checkSignatureScheme(certificate, context.allowedSchemes);
  checkSerialNumber(certificate);
  if (isEmptyName(certificate.issuer)) {
    throw refuse('bad_certificate', 'malformed_certificate', certificate, 'names no issuer');
  }
  checkCriticalExtensions(certificate);
  checkExtendedKeyUsage(certificate, context.purpose);
}

function checkKeyKind(certificate: Certificate): void {
  if (certificate.keyKind !== undefined) return;
  const rule = 'has a key that is neither ECDSA P-256, P-384, Ed25519 nor RSA';
  throw refuse('unsupported_certificate', 'unsupported_public_key', certificate, rule);
}

/**
 * RFC 5280 §4.1.2.5: both ends belong to the period, and it is counted in whole seconds, so a moment
 * within the last second is still inside.
 */
function checkValidity(
  certificate: Certificate,
  now: Date,
  whose: 'peer_certificate' | 'issuer_certificate',
): void {
  if (!(now.getTime() >= certificate.notBefore.getTime())) {
    const rule = `is not valid before ${certificate.notBefore.toISOString()}`;
    throw refuse('certificate_expired', `${whose}_not_yet_valid`, certificate, rule);
  }
  if (!(now.getTime() < certificate.notAfter.getTime() + 1000)) {
    const rule = `expired at ${certificate.notAfter.toISOString()}`;
    throw refuse('certificate_expired', `${whose}_expired`, certificate, rule);
  }
}

function checkSignatureScheme(
  certificate: Certificate,
  allowed: readonly number[] | undefined,
): void {
  const scheme = certificate.signatureScheme;
  if (scheme === undefined) {
    const rule = 'is signed with an algorithm we do not accept';
    throw refuse('unsupported_certificate', 'unsupported_signature_algorithm', certificate, rule);
  }
  // A PSS signature may stand for either scheme: which one, the issuer's key decides.
  if (allowed?.includes(scheme) === false && !allowed.includes(pssForm(scheme))) {
    const rule = 'is signed with an algorithm that was not offered';
    throw refuse('unsupported_certificate', 'unsupported_signature_algorithm', certificate, rule);
  }
}

function pssForm(scheme: number): number {
  return scheme >= 0x0804 && scheme <= 0x0806 ? scheme + 5 : scheme;
}

/** RFC 5280 §4.1.2.2: positive and at most 20 bytes. */
function checkSerialNumber(certificate: Certificate): void {
  const { serialNumber } = certificate;
  const first = serialNumber[0] ?? 0;
  const isZero = serialNumber.length === 1 && first === 0;
  if (!isZero && first < 0x80 && serialNumber.length <= 20) return;
  const rule = 'has a serial number that is not positive or too long';
  throw refuse('bad_certificate', 'malformed_certificate', certificate, rule);
}

function checkCriticalExtensions(certificate: Certificate): void {
  const [first] = certificate.extensions.unhandled;
  if (first === undefined) return;
  const rule = `has the critical extension ${first}, which we do not process`;
  throw refuse('bad_certificate', 'unhandled_critical_extension', certificate, rule);
}

/** Also for CAs: an extended key usage there bounds what may be issued below. */
function checkExtendedKeyUsage(certificate: Certificate, purpose: Purpose): void {
  const wanted = extendedUsages[purpose];
  if (certificate.extendedKeyUsage?.includes(wanted) !== false) return;
  const rule = `has an extended key usage without ${wanted}`;
  throw refuse('unsupported_certificate', 'wrong_extended_key_usage', certificate, rule);
}

/** Any of them will do. */
const keyUsages = {
  server: ['digitalSignature'],
  client: ['digitalSignature'],
  recipient: ['keyAgreement', 'keyEncipherment'],
} as const satisfies Record<Purpose, readonly string[]>;

const extendedUsages = {
  server: 'serverAuth',
  client: 'clientAuth',
  recipient: 'emailProtection',
} as const satisfies Record<Purpose, string>;

/** RFC 5280 §4.2.1.6. The common name is no name (RFC 9525 §2), so without these there is none. */
function checkAlternativeNames(leaf: Certificate): void {
  const { subjectAltNames } = leaf.extensions;
  if (subjectAltNames === undefined) {
    const rule = 'has no subject alternative names';
    throw refuse('bad_certificate', 'missing_subject_alt_name', leaf, rule);
  }
  if (isEmptyName(leaf.subject) && !leaf.extensions.subjectAltNamesCritical) {
    const rule = 'has no subject but alternative names that are not critical';
    throw refuse('bad_certificate', 'malformed_certificate', leaf, rule);
  }
  const { dnsNames, ipAddresses, uris, emailAddresses } = subjectAltNames;
  const wellFormed =
    dnsNames.every(isPresentedName) &&
    ipAddresses.every(({ length }) => length === 4 || length === 16) &&
    uris.every((uri) => /^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/.test(uri)) &&
    emailAddresses.every((address) => /^[\x21-\x3f\x41-\x7e]+@[^@]+$/.test(address));
  if (wellFormed) return;
  const rule = 'has a malformed subject alternative name';
  throw refuse('bad_certificate', 'malformed_certificate', leaf, rule);
}

function weakKey(certificate: Certificate): CertificateError {
  const rule = 'has an RSA key that is not of 2048 to 8192 bits with a usual exponent';
  return refuse('unsupported_certificate', 'unsupported_public_key', certificate, rule);
}

function refuse(
  alert: CertificateAlert,
  reason: string,
  certificate: Certificate,
  rule: string,
): CertificateError {
  return new CertificateError(alert, reason, `${describeCertificate(certificate)} ${rule}`);
}
