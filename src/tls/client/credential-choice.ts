import { equal } from '../../bytes/bytes.ts';
import type { Credential } from '../config.ts';
import type { CertificateRequest } from '../messages/certificate-request.ts';
import { suiteAuthentication } from '../peer-authentication.ts';
import { ClientCertificateType, type SignatureScheme } from '../registries.ts';
import { signingScheme } from '../signing-scheme.ts';

/** A credential and how it will sign. */
export interface CredentialChoice {
  readonly credential: Credential;
  readonly scheme: SignatureScheme;
}

/**
 * The first credential a CertificateRequest lets us show
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6 | RFC 5246 §7.4.6}): its key and every
 * signature in its chain are of a kind listed, and, if authorities are named, one of them issued it.
 */
export function chooseCredential(
  credentials: readonly Credential[],
  request: CertificateRequest,
): CredentialChoice | undefined {
  for (const credential of credentials) {
    const scheme = signingScheme(credential, request.signatureAlgorithms);
    if (scheme !== undefined && isAccepted(credential, request)) return { credential, scheme };
  }
  return undefined;
}

function isAccepted(
  { keyKind, chainSchemes, issuerNames }: Credential,
  { certificateTypes, signatureAlgorithms, certificateAuthorities }: CertificateRequest,
): boolean {
  // RFC 8422 §5.5: ecdsa_sign stands for Ed25519, too.
  const type =
    suiteAuthentication(keyKind) === 'rsa'
      ? ClientCertificateType.rsa_sign
      : ClientCertificateType.ecdsa_sign;
  if (!certificateTypes.includes(type)) return false;
  if (!chainSchemes.every((scheme) => signatureAlgorithms.includes(scheme))) return false;
  if (certificateAuthorities.length === 0) return true;
  return certificateAuthorities.some((name) => issuerNames.some((issuer) => equal(issuer, name)));
}
