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
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6 | RFC 5246 §7.4.6}): its key is of a kind
 * listed and, if authorities are named, one of them issued it. One whose whole chain is signed as
 * listed is preferred; a root or intermediate signed otherwise does not rule a credential out, since
 * the server may well know that issuer.
 */
export function chooseCredential(
  credentials: readonly Credential[],
  request: CertificateRequest,
): CredentialChoice | undefined {
  const choices = credentials.flatMap((credential) => {
    const scheme = signingScheme(credential, request.signatureAlgorithms);
    return scheme !== undefined && isAccepted(credential, request) ? [{ credential, scheme }] : [];
  });
  return choices.find(({ credential }) => isVerifiable(credential, request)) ?? choices[0];
}

function isAccepted(
  { keyKind, issuerNames }: Credential,
  { certificateTypes, certificateAuthorities }: CertificateRequest,
): boolean {
  // RFC 8422 §5.5: ecdsa_sign stands for Ed25519, too.
  const type =
    suiteAuthentication(keyKind) === 'rsa'
      ? ClientCertificateType.rsa_sign
      : ClientCertificateType.ecdsa_sign;
  if (!certificateTypes.includes(type)) return false;
  if (certificateAuthorities.length === 0) return true;
  return certificateAuthorities.some((name) => issuerNames.some((issuer) => equal(issuer, name)));
}

function isVerifiable(
  { chainSchemes }: Credential,
  { signatureAlgorithms }: CertificateRequest,
): boolean {
  return chainSchemes.every((scheme) => signatureAlgorithms.includes(scheme));
}
