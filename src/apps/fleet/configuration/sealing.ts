import { hash } from '../../../crypto/hash.ts';
import type { ConfigurationSignature, ConfigurationToSign } from '../../../offload/index.ts';
import {
  CONFIGURATION_CONTENT_OID,
  encodeSignedData,
  sealMessage,
} from '../../../pki/cms/index.ts';
import { CertificateError, parseCertificate, parseSpiffeId } from '../../../pki/index.ts';
import { gzipBytes } from '../http/gzip.ts';
import { inflationLimit } from './inflation.ts';
import { MAX_INFLATED_BYTES, MAX_SEALED_BYTES } from './limits.ts';

/** Who signs: `offload.workload` of a manager. */
export interface ConfigurationSigner {
  signConfiguration(
    configuration: ConfigurationToSign & { readonly identity?: string | undefined },
  ): Promise<ConfigurationSignature>;
}

export interface SealOptions {
  readonly content: Uint8Array;
  /** UUID of the agent it is for, lower case. */
  readonly agentId: string;
  /** Higher than that of any configuration the agent ever had. */
  readonly version: number;
  /** Not to be taken later than that. */
  readonly notAfter: Date;
  /** DER: the agent's certificate for decryption, as it has it now. */
  readonly recipientCertificate: Uint8Array;
  readonly workload: ConfigurationSigner;
  /** The manager's, by its name in its sidecar's configuration. Absent: the default one. */
  readonly identity?: string | undefined;
  /** Absent: the system's clock. */
  readonly now?: Date;
}

/** A configuration that cannot be sealed as asked; says what to change. */
export class ConfigurationSealError extends Error {
  override readonly name = 'ConfigurationSealError';
}

/**
 * Seals a configuration for one agent: gzip, then CMS SignedData by the manager's identity with agent,
 * version and end as signed attributes, then CMS AuthEnvelopedData (AES-256-GCM) for the agent's
 * decryption key. Answers DER of at most 1 MiB; nobody but that agent's sidecar opens it.
 *
 * Rejects with {@link ConfigurationSealError} for what no agent would take, with `CmsError` for a
 * certificate nobody can encrypt for, and with the workload's errors.
 */
export async function sealConfiguration(options: SealOptions): Promise<Uint8Array> {
  const { content, agentId, version, notAfter, workload, identity } = options;
  const recipient = recipientOf(options);
  if (content.length > MAX_INFLATED_BYTES) {
    throw new ConfigurationSealError(
      `the content is longer than ${String(MAX_INFLATED_BYTES)} bytes`,
    );
  }
  const compressed = await gzipBytes(content);
  if (content.length > inflationLimit(compressed.length, MAX_INFLATED_BYTES)) {
    throw new ConfigurationSealError(
      'the content compresses so well that no agent would inflate it',
    );
  }
  const { signerInfo, certificates } = await workload.signConfiguration({
    identity,
    contentSha256: hash('sha256', compressed),
    contentSha384: hash('sha384', compressed),
    contentSha512: hash('sha512', compressed),
    agentId,
    version,
    notAfter,
  });
  const contentType = CONFIGURATION_CONTENT_OID;
  const signed = encodeSignedData({ contentType, content: compressed, certificates, signerInfo });
  const sealed = sealMessage(recipient, signed);
  if (sealed.length > MAX_SEALED_BYTES) {
    throw new ConfigurationSealError(
      `sealed it has ${String(sealed.length)} bytes, more than ${String(MAX_SEALED_BYTES)}`,
    );
  }
  return sealed;
}

/** The agent's certificate: of this agent, and valid. That it is genuine is for whoever got it. */
function recipientOf({ recipientCertificate, agentId, now = new Date() }: SealOptions) {
  const certificate = parsed(recipientCertificate);
  const { notBefore, notAfter, subjectAltNames } = certificate;
  const [uri = '', second] = subjectAltNames.uris;
  const path = second === undefined ? parseSpiffeId(uri)?.path : undefined;
  if (path?.endsWith(`/${agentId}`) !== true) {
    throw new ConfigurationSealError(`the certificate for decryption is not of agent ${agentId}`);
  }
  if (now < notBefore || now > notAfter) {
    throw new ConfigurationSealError(
      `the certificate for decryption is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
    );
  }
  return certificate;
}

function parsed(der: Uint8Array) {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (!(cause instanceof CertificateError)) throw cause;
    throw new ConfigurationSealError(`the certificate for decryption: ${cause.message}`, { cause });
  }
}
