/** Configurations that a manager seals for one agent: signed, encrypted, and never older than the last. */
export { admitVersion, type ConfigurationVersion, type VersionVerdict } from './admission.ts';
export { MAX_INFLATED_BYTES, MAX_SEALED_BYTES } from './limits.ts';
export {
  type ConfigurationOpener,
  openConfiguration,
  type OpenedConfiguration,
  type OpenOptions,
} from './opening.ts';
export { ConfigurationRefusedError, type RefusalReason } from './refusal.ts';
export {
  type ConfigurationSigner,
  ConfigurationSealError,
  sealConfiguration,
  type SealOptions,
} from './sealing.ts';
