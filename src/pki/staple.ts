import { createHash } from 'node:crypto';
import { equal } from '../bytes/bytes.ts';
import { isAcceptableKey } from '../crypto/signatures.ts';
import { CertificateError } from './certificate-error.ts';
import { type Certificate, describeCertificate, parseCertificate } from './certificate.ts';
import {
  type OcspResponderId,
  type OcspResponse,
  type OcspSingleResponse,
  parseOcspResponse,
} from './ocsp-response.ts';
import { parsePublicKeyInfo } from './public-key-info.ts';
import { verifyIssued } from './signature-algorithm.ts';

export interface StapleOptions {
  /** DER of the OCSPResponse the server sent along, if it sent one. */
  readonly response: Uint8Array | undefined;
  /** Of a verified chain, as is its issuer. */
  readonly leaf: Certificate;
  readonly issuer: Certificate;
  readonly now: Date;
}

/** What a staple says about a leaf. */
export type StapleStatus =
  | { readonly tag: 'good' }
  | { readonly tag: 'revoked'; readonly message: string }
  /** As if there were none; `problem` says why. */
  | { readonly tag: 'unusable'; readonly problem: string };

/**
 * Refuses a server whose staple says that its certificate is revoked
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#section-3.2 | RFC 6960 §3.2}), and one whose certificate
 * promises a staple but came without one that says it is good
 * ({@link https://www.rfc-editor.org/rfc/rfc7633#section-4.2.3 | RFC 7633 §4.2.3}). Otherwise a staple we
 * cannot use counts as none: whoever could spoil it could as well have left it out.
 *
 * Throws `CertificateError`: `certificate_revoked`; `bad_certificate_status_response` with the reason
 * `must_staple_unmet`.
 */
export function checkStaple(options: StapleOptions): void {
  const { leaf } = options;
  const status = stapleStatus(options);
  if (status.tag === 'revoked') {
    throw new CertificateError('certificate_revoked', 'certificate_revoked', status.message);
  }
  if (status.tag === 'good' || !leaf.mustStaple) return;
  throw new CertificateError(
    'bad_certificate_status_response',
    'must_staple_unmet',
    `${describeCertificate(leaf)} has to come with a good OCSP response: ${status.problem}`,
  );
}

/** As {@link checkStaple}, but only says what the staple is worth. */
export function stapleStatus({ response, leaf, issuer, now }: StapleOptions): StapleStatus {
  if (response === undefined) return unusable('the server sent none');
  try {
    return judge(parseOcspResponse(response), leaf, issuer, now);
  } catch (error) {
    if (error instanceof CertificateError) return unusable(error.message);
    throw error;
  }
}

function judge(
  response: OcspResponse,
  leaf: Certificate,
  issuer: Certificate,
  now: Date,
): StapleStatus {
  const ours = response.responses.filter((single) => isAbout(single, leaf, issuer));
  if (ours.length === 0) return unusable('the one sent is about other certificates');
  const current = ours.filter((single) => isCurrent(single, now));
  if (current.length === 0) return unusable('the one sent is not of this time');
  if (!isGenuine(response, issuer, now)) {
    return unusable('the one sent is not signed by the issuer or a responder of its');
  }
  for (const { status } of current) {
    if (status.tag !== 'revoked') continue;
    const when = status.revokedAt.toISOString();
    const message = `${describeCertificate(leaf)} was revoked at ${when} (${status.reason})`;
    return { tag: 'revoked', message };
  }
  if (current.some(({ status }) => status.tag === 'good')) return { tag: 'good' };
  return unusable('its responder does not know the certificate');
}

/** RFC 6960 §4.1.1: by the issuer's name and key, and the serial number. */
function isAbout(
  { certificateId }: OcspSingleResponse,
  leaf: Certificate,
  issuer: Certificate,
): boolean {
  const { hash, issuerNameHash, issuerKeyHash, serialNumber } = certificateId;
  return (
    equal(serialNumber, leaf.serialNumber) &&
    equal(issuerNameHash, digest(hash, leaf.issuer)) &&
    equal(issuerKeyHash, digest(hash, keyBits(issuer)))
  );
}

/**
 * RFC 6960 §3.2 (5), (6). Without a next update a response claims that there is always a newer one
 * (§4.2.2.1): then it does not keep, and a staple is kept by nature.
 */
function isCurrent({ thisUpdate, nextUpdate }: OcspSingleResponse, now: Date): boolean {
  if (nextUpdate === undefined) return false;
  return now.getTime() >= thisUpdate.getTime() && now.getTime() < nextUpdate.getTime() + 1000;
}

/** Signed with the issuer's key, or by whom it made a responder (RFC 6960 §4.2.2.2). */
function isGenuine(response: OcspResponse, issuer: Certificate, now: Date): boolean {
  const { responderId, certificates } = response;
  if (isNamed(responderId, issuer) && isSignedBy(response, issuer)) return true;
  // A responder has one certificate, so whoever sends two with its name wants us to work.
  const responder = certificates
    .map(parseCertificate)
    .find((certificate) => isNamed(responderId, certificate));
  return (
    responder !== undefined && isDelegate(responder, issuer, now) && isSignedBy(response, responder)
  );
}

function isNamed(responderId: OcspResponderId, certificate: Certificate): boolean {
  switch (responderId.tag) {
    case 'byName':
      return equal(responderId.name, certificate.subject);
    case 'byKey':
      return equal(responderId.keyHash, digest('sha1', keyBits(certificate)));
  }
}

/**
 * Whether the issuer itself, with the key it signed the leaf with, made this a responder. Whether the
 * responder is revoked in turn is not asked: RFC 6960 §4.2.2.2.1 leaves that to us, and they live short.
 */
function isDelegate(responder: Certificate, issuer: Certificate, now: Date): boolean {
  const { signatureScheme, keyKind, notBefore, notAfter, extensions } = responder;
  if (signatureScheme === undefined || keyKind === undefined || issuer.keyKind === undefined) {
    return false;
  }
  return (
    equal(responder.issuer, issuer.subject) &&
    responder.extendedKeyUsage?.includes('ocspSigning') === true &&
    responder.keyUsage?.includes('digitalSignature') !== false &&
    extensions.unhandled.length === 0 &&
    now.getTime() >= notBefore.getTime() &&
    now.getTime() < notAfter.getTime() + 1000 &&
    isAcceptableKey(responder.publicKey) &&
    verifyIssued(
      issuer.publicKey,
      issuer.keyKind,
      signatureScheme,
      responder.tbs,
      responder.signature,
    )
  );
}

function isSignedBy(response: OcspResponse, { publicKey, keyKind }: Certificate): boolean {
  const { signatureScheme, tbs, signature } = response;
  if (keyKind === undefined) return false;
  return verifyIssued(publicKey, keyKind, signatureScheme, tbs, signature);
}

function keyBits({ publicKeyInfo }: Certificate): Uint8Array {
  return parsePublicKeyInfo(publicKeyInfo).keyBits;
}

/** SHA-1 for names only, so it is not among the hashes the rest of the product knows. */
function digest(name: 'sha1' | 'sha256', bytes: Uint8Array): Uint8Array {
  return createHash(name).update(bytes).digest();
}

function unusable(problem: string): StapleStatus {
  return { tag: 'unusable', problem };
}
