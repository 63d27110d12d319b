import type { Certificate } from './certificate.ts';
import { CertificateError } from './certificate-error.ts';
import { describeCertificate } from './certificate.ts';
import { checkLeafUse, isSelfIssued, type Purpose } from './path-rules.ts';
import { verifyIssued } from './signature-algorithm.ts';

/** What a self-signed certificate has to be good for, and when. */
export interface SelfSignedOptions {
  readonly now: Date;
  readonly purpose: Purpose;
}

/**
 * Verifies a certificate that nobody vouches for, where its key is known by other means: it is signed with
 * that key, valid now, no CA, and for this purpose. Its names mean nothing, so it needs none; all else is
 * as for a leaf ({@link https://www.rfc-editor.org/rfc/rfc5280#section-6.1.3 | RFC 5280 §6.1.3}). Throws
 * `CertificateError`.
 */
export function verifySelfSigned(leaf: Certificate, { now, purpose }: SelfSignedOptions): void {
  if (!isSelfIssued(leaf)) {
    throw new CertificateError(
      'bad_certificate',
      'peer_not_self_signed',
      `${describeCertificate(leaf)} has another issuer, and is trusted for its key alone`,
    );
  }
  checkLeafUse(leaf, {
    now,
    purpose,
    requireExtendedKeyUsage: false,
    allowedSchemes: undefined,
  });
  const { keyKind, signatureScheme, publicKey, tbs, signature } = leaf;
  const genuine =
    keyKind !== undefined &&
    signatureScheme !== undefined &&
    verifyIssued(publicKey, keyKind, signatureScheme, tbs, signature);
  if (genuine) return;
  throw new CertificateError(
    'bad_certificate',
    'bad_certificate_signature',
    `${describeCertificate(leaf)} is not signed with its own key`,
  );
}
