import type {
  ConfigurationOpener,
  ConfigurationSigner,
} from '../../../../src/apps/fleet/configuration/index.ts';
import { OffloadError, OffloadErrorCode } from '../../../../src/offload/index.ts';
import {
  CmsError,
  CONFIGURATION_CONTENT_OID,
  encodeConfigurationStatement,
  encodeSignedAttributes,
  encodeSignerInfo,
  openContentKey,
  parseRecipientInfo,
} from '../../../../src/pki/cms/index.ts';
import { parseCertificate } from '../../../../src/pki/index.ts';
import { signIssued } from '../../../../src/pki/signature-algorithm.ts';
import { type IssuedIdentity } from '../../../support/test-ca.ts';

/** Signs as a sidecar does, without one, at a moment of the test's choice. */
export function localSigner(
  { chain, privateKey }: IssuedIdentity,
  signingTime = new Date(),
): ConfigurationSigner {
  const certificate = parseCertificate(chain[0]!);
  return {
    signConfiguration({ contentSha256, agentId, version, notAfter }) {
      const signedAttributes = encodeSignedAttributes({
        contentType: CONFIGURATION_CONTENT_OID,
        messageDigest: contentSha256,
        signingTime,
        others: encodeConfigurationStatement({ agentId, version, notAfter }),
      });
      const scheme = 0x0403;
      const signature = signIssued(privateKey, scheme, signedAttributes);
      const signerInfo = encodeSignerInfo({ certificate, signedAttributes, scheme, signature });
      return Promise.resolve({ signerInfo, certificates: chain });
    },
  };
}

/**
 * Opens as a sidecar does, without one: for tests that try thousands of messages. Keys it has unwrapped
 * once it knows again. Of signers it knows one, by its certificate.
 */
export function localOpener(
  { chain, privateKey }: IssuedIdentity,
  manager: IssuedIdentity,
): ConfigurationOpener & { readonly unwrapped: () => number } {
  const certificate = parseCertificate(chain[0]!);
  const known = new Map<string, Uint8Array>();
  return {
    unwrapped: () => known.size,
    unwrapKey({ recipientInfo }) {
      const name = Buffer.from(recipientInfo).toString('latin1');
      try {
        const contentKey =
          known.get(name) ??
          openContentKey(parseRecipientInfo(recipientInfo), { certificate, privateKey });
        known.set(name, contentKey);
        return Promise.resolve({ contentKey: Uint8Array.from(contentKey), unwrapId: 'test' });
      } catch (error) {
        if (!(error instanceof CmsError)) throw error;
        return Promise.reject(refused('unwrap_refused'));
      }
    },
    verifySigner({ certificates }) {
      const isKnown = Buffer.compare(certificates[0]!, manager.chain[0]!) === 0;
      return isKnown
        ? Promise.resolve({ spiffeId: 'spiffe://fleet.test/manager/known' })
        : Promise.reject(refused('signer_refused'));
    },
  };
}

function refused(reason: string): OffloadError {
  return new OffloadError(OffloadErrorCode.policy, 'refused by the test', {
    phase: 'sidecar',
    reason,
  });
}
