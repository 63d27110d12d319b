export { encodeSignedAttributes, type SignedAttributes } from './attributes.ts';
export { CmsError, type CmsReason } from './cms-error.ts';
export {
  agentIdPattern,
  CONFIGURATION_CONTENT_OID,
  type ConfigurationStatement,
  encodeConfigurationStatement,
  readConfigurationStatement,
} from './configuration-attributes.ts';
export { digestOfScheme, signingScheme } from './digest-algorithm.ts';
export type { ContentEncryption } from './encrypted-content.ts';
export { parseSealedMessage, type SealedMessage, sealMessage } from './enveloped-data.ts';
export {
  contentKeyBytes,
  MAX_RECIPIENT_INFO_BYTES,
  openContentKey,
  parseRecipientInfo,
} from './recipient-info.ts';
export { identifies } from './identifiers.ts';
export { encodeSignedData, openSignedData, type SignedContent } from './signed-data.ts';
export { encodeSignerInfo } from './signer-info.ts';
