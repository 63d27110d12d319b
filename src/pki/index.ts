export { Certificate, describeCertificate, parseCertificate } from './certificate.ts';
export { CertificateError, type CertificateAlert } from './certificate-error.ts';
export {
  commonNameOf,
  describeName,
  emptyName,
  encodeName,
  type NameAttributes,
} from './distinguished-name.ts';
export type { BasicConstraints, KeyUsage, NameConstraints } from './extensions.ts';
export type { GeneralNames } from './general-names.ts';
export {
  type CertificateIssuer,
  type CertificateTemplate,
  generateSerialNumber,
  issueCertificate,
  keyIdentifier,
} from './issue-certificate.ts';
export { encodePem, parseCertificatePem, parsePem, type PemBlock } from './pem.ts';
export { exportPkcs8Pem, importPrivateKey, loadPrivateKey } from './private-key.ts';
