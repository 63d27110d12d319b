import type { KeyObject } from 'node:crypto';
import { isAcceptableKey } from '../../crypto/signatures.ts';
import { CertificateError } from '../certificate-error.ts';
import type { Certificate } from '../certificate.ts';

/** The key of a certificate, if it can be imported and is of a size we use. */
export function usableKey(certificate: Certificate): KeyObject | undefined {
  try {
    return isAcceptableKey(certificate.publicKey) ? certificate.publicKey : undefined;
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return undefined;
  }
}
