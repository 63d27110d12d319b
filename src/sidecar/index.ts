export type { AuthorityConfig, KeyLocation, StoreLocation } from './authority-config.ts';
export {
  type BootstrapIdentityConfig,
  type EnrolledIdentityConfig,
  parseSidecarConfig,
  type SidecarConfig,
} from './config.ts';
export { address, count, duration, path, shortDuration } from './config-values.ts';
export { ConfigurationError } from './configuration-error.ts';
export type {
  BootstrapSource,
  CredentialSource,
  Enrolment,
  RevocationList,
  RevokedCertificate,
  SourceCredential,
  SourceStatus,
  SourceTrust,
} from './credential-source.ts';
export { EngineDriver, type EngineOperations, type Progress } from './engine-driver.ts';
export { joinKeyAndChain, type KeyWithChain } from './local-identity.ts';
export { checkSidecar, type Sidecar, type SidecarOptions, startSidecar } from './sidecar.ts';
export { parseSettings, readSettings, type ReportSetting } from './settings.ts';
export { signatureSchemes } from './signature-schemes.ts';
export { offeredVersion, type VersionAttempt, VersionAttempts } from './version-attempts.ts';
