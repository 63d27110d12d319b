import type { Certificate } from './certificate.ts';
import * as der from './der-writer.ts';
import { emptyName } from './distinguished-name.ts';
import type { GeneralNames } from './general-names.ts';
import {
  type CertificateContent,
  checkSerialNumber,
  constraintExtensions,
  encodeAuthorityKeyIdExtension,
  encodeSubjectKeyId,
  keyIdentifierOf,
  nameExtensions,
} from './issue-certificate.ts';
import { algorithmOfScheme } from './signature-algorithm.ts';

/** What many certificates have in common. */
export interface MoldContent extends Pick<
  CertificateContent,
  'keyUsage' | 'extendedKeyUsage' | 'extensions'
> {
  readonly issuer: Certificate;
  /** TLS number of the scheme the issuer signs under. */
  readonly signatureScheme: number;
}

/** What differs. */
export interface MoldedCertificate {
  readonly serialNumber: Uint8Array;
  readonly notBefore: Date;
  /** Inclusive, to the second. */
  readonly notAfter: Date;
  /** DER, of a key that was judged already. */
  readonly publicKeyInfo: Uint8Array;
  /** Of that key. */
  readonly keyIdentifier: Uint8Array;
  readonly subjectAltNames: Partial<GeneralNames>;
}

/**
 * Makes the to-be-signed parts of leaf certificates without a subject that differ in few fields: all
 * else is encoded once. `joinSignature` completes them. The bytes are the caller's.
 */
export type CertificateMold = (certificate: MoldedCertificate) => Uint8Array;

/** Throws `RangeError` for content that cannot be encoded; so does the mold. */
export function createCertificateMold(content: MoldContent): CertificateMold {
  const version = der.explicit(0, der.integer(2));
  const algorithm = algorithmOfScheme(content.signatureScheme);
  const { subject: issuer } = content.issuer;
  const constraints = constraintExtensions(content);
  const issuerKeyId = encodeAuthorityKeyIdExtension(keyIdentifierOf(content.issuer));
  const further = content.extensions ?? [];
  return (certificate) => {
    checkSerialNumber(certificate.serialNumber);
    if (!(certificate.notBefore.getTime() <= certificate.notAfter.getTime())) {
      throw new RangeError('a certificate ends before it begins');
    }
    return der.sequence(
      version,
      der.unsignedInteger(certificate.serialNumber),
      algorithm,
      issuer,
      der.sequence(der.time(certificate.notBefore), der.time(certificate.notAfter)),
      emptyName,
      certificate.publicKeyInfo,
      der.explicit(
        3,
        der.sequence(
          ...constraints,
          ...nameExtensions(certificate, emptyName),
          encodeSubjectKeyId(certificate.keyIdentifier),
          issuerKeyId,
          ...further,
        ),
      ),
    );
  };
}
