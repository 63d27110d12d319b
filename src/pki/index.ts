export { CertificateCache } from './certificate-cache.ts';
export { Certificate, describeCertificate, parseCertificate } from './certificate.ts';
export { CertificateError, type CertificateAlert } from './certificate-error.ts';
export {
  type CertificateRequest,
  type CertificateRequestTemplate,
  createCertificateRequest,
  parseCertificateRequest,
} from './certificate-request.ts';
export { ChainVerdictCache, type ChainVerdictCacheOptions } from './chain-verdict-cache.ts';
export { type Crl, parseCrl, type RevocationReason, type RevokedCertificate } from './crl.ts';
export { CrlSet } from './crl-set.ts';
export {
  commonNameOf,
  describeName,
  emptyName,
  encodeName,
  type NameAttributes,
} from './distinguished-name.ts';
export type { BasicConstraints, KeyUsage, NameConstraints } from './extensions.ts';
export type { GeneralNames } from './general-names.ts';
export { isHostName, matchesDnsName, matchesIpAddress, parseIpAddress } from './host-name.ts';
export {
  type CertificateMold,
  createCertificateMold,
  type MoldContent,
  type MoldedCertificate,
} from './certificate-mold.ts';
export {
  type CertificateContent,
  type CertificateIssuer,
  type CertificateTemplate,
  encodeToBeSigned,
  generateSerialNumber,
  issueCertificate,
  joinSignature,
  keyIdentifier,
} from './issue-certificate.ts';
export { type Distribution, encodeDistribution } from './issue-distribution.ts';
export { CrlEntries, type CrlTemplateEntry } from './crl-entries.ts';
export { type CrlContent, type CrlTemplate, encodeCrlToBeSigned, issueCrl } from './issue-crl.ts';
export {
  encodeOcspError,
  encodeOcspToBeSigned,
  issuerHashes,
  joinOcspSignature,
  type OcspAnswer,
  type OcspError,
  type OcspResponseContent,
} from './issue-ocsp-response.ts';
export {
  MAX_OCSP_REQUEST_BYTES,
  type OcspRequest,
  type OcspRequestedCertificate,
  parseOcspRequest,
} from './ocsp-request.ts';
export {
  type OcspCertificateId,
  type OcspCertificateStatus,
  type OcspResponderId,
  type OcspResponse,
  type OcspSingleResponse,
  parseOcspResponse,
} from './ocsp-response.ts';
export type { Purpose } from './path-rules.ts';
export type { PathBudget } from './path-search.ts';
export { encodePem, parseCertificatePem, parsePem, type PemBlock } from './pem.ts';
export { openPkcs12, type Pkcs12Content } from './pkcs12.ts';
export { exportPkcs8Pem, importPrivateKey, loadPrivateKey } from './private-key.ts';
export { isTrustDomain, parseSpiffeId, type SpiffeId, spiffeIdOf } from './spiffe-id.ts';
export { type SelfSignedOptions, verifySelfSigned } from './self-signed.ts';
export { matchesSpiffePattern, parseSpiffePattern, type SpiffePattern } from './spiffe-pattern.ts';
export { checkStaple, type StapleOptions, stapleStatus, type StapleStatus } from './staple.ts';
export { createTrustAnchors, type TrustAnchors } from './trust-anchors.ts';
export { type VerifiedChain, verifyChain, type VerifyChainOptions } from './verify-chain.ts';
