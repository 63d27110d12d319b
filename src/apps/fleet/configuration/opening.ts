import { wipe } from '../../../bytes/bytes.ts';
import { hash } from '../../../crypto/hash.ts';
import {
  OffloadError,
  type SignerToVerify,
  type UnwrappedKey,
  type WrappedKey,
} from '../../../offload/index.ts';
import {
  CmsError,
  CONFIGURATION_CONTENT_OID,
  openSignedData,
  parseSealedMessage,
  readConfigurationStatement,
  type SealedMessage,
  type SignedContent,
} from '../../../pki/cms/index.ts';
import { inflate } from './inflation.ts';
import { MAX_CLOCK_SKEW_MS, MAX_INFLATED_BYTES, MAX_SEALED_BYTES } from './limits.ts';
import { ConfigurationRefusedError, type RefusalReason } from './refusal.ts';

/** Who opens: `offload.workload` of an agent. */
export interface ConfigurationOpener {
  unwrapKey(
    wrapped: WrappedKey & { readonly identity?: string | undefined },
  ): Promise<UnwrappedKey>;
  verifySigner(
    signer: SignerToVerify & { readonly identity?: string | undefined },
  ): Promise<{ readonly spiffeId: string }>;
}

export interface OpenOptions {
  /** As it came. */
  readonly der: Uint8Array;
  /** Our own UUID, lower case. */
  readonly agentId: string;
  readonly now: Date;
  readonly workload: ConfigurationOpener;
  /** Ours, by its name in our sidecar's configuration. Absent: the default one. */
  readonly identity?: string | undefined;
  /** Absent: 8 MiB. */
  readonly maxInflatedBytes?: number;
}

/** A configuration that a manager made for us, and that is still good. */
export interface OpenedConfiguration {
  readonly content: Uint8Array;
  readonly version: number;
  readonly notAfter: Date;
  readonly signedAt: Date;
  /** SPIFFE ID of the manager. */
  readonly signer: string;
  /** SHA-256 of the content. */
  readonly contentHash: Uint8Array;
}

/**
 * Opens a sealed configuration: decrypts it by way of the sidecar, verifies who signed it, and that it is
 * for this agent and not expired. Whether it is newer than what there is, `admitVersion` says. Nothing of
 * it is looked at before it is shown to be a manager's.
 *
 * Rejects with {@link ConfigurationRefusedError} for whatever is wrong with it. Anything else, such as a
 * sidecar that is away, says nothing about the configuration: it may be tried again.
 */
export async function openConfiguration(options: OpenOptions): Promise<OpenedConfiguration> {
  const { der, agentId, now, maxInflatedBytes = MAX_INFLATED_BYTES } = options;
  if (der.length > MAX_SEALED_BYTES) {
    throw refuse('too_large', `it is longer than ${String(MAX_SEALED_BYTES)} bytes`);
  }
  const message = attempt('not_encrypted', parseSealedMessage, der);
  const signed = attempt('signature_invalid', openSignedData, await decrypted(message, options));
  const signer = await managerOf(signed, options);
  const statement = statementOf(signed);
  const { version, notAfter, signingTime: signedAt } = statement;
  if (statement.agentId !== agentId) {
    throw refuse('other_agent', `it is for agent ${statement.agentId}`);
  }
  if (now > notAfter) throw refuse('expired', `it was good until ${notAfter.toISOString()}`);
  if (signedAt.getTime() > now.getTime() + MAX_CLOCK_SKEW_MS) {
    throw refuse('signed_in_the_future', `it was signed at ${signedAt.toISOString()}`);
  }
  const content = await inflate(signed.content, maxInflatedBytes);
  if (content === undefined) {
    throw refuse('inflation_refused', 'it is not one gzip member, or inflates to too much');
  }
  const contentHash = hash('sha256', content);
  return { content, version, notAfter, signedAt, signer, contentHash };
}

/** The plaintext, which nobody vouches for yet. */
async function decrypted(
  { recipientInfo, encryption, open }: SealedMessage,
  { workload, identity }: OpenOptions,
): Promise<Uint8Array> {
  const { contentKey } = await judged('not_for_this_host', 'unwrap_refused', () =>
    workload.unwrapKey({ identity, recipientInfo, contentEncryption: encryption }),
  );
  try {
    return attempt('not_decrypted', open, contentKey);
  } finally {
    wipe(contentKey);
  }
}

/** Who signed, if a manager we trust: the certificate whose key it was is what gets judged. */
async function managerOf(
  { certificates }: SignedContent,
  { workload, identity }: OpenOptions,
): Promise<string> {
  const { spiffeId } = await judged('signer_refused', 'signer_refused', () =>
    workload.verifySigner({ identity, certificates, requiredRole: 'manager' }),
  );
  return spiffeId;
}

function statementOf({ contentType, attributes }: SignedContent) {
  if (contentType !== CONFIGURATION_CONTENT_OID) {
    throw refuse('other_content', `it is signed content of type ${contentType}`);
  }
  return attempt('other_content', readConfigurationStatement, attributes);
}

/** What CMS does not accept is refused. */
function attempt<Input, Value>(
  reason: RefusalReason,
  work: (input: Input) => Value,
  input: Input,
): Value {
  try {
    return work(input);
  } catch (cause) {
    if (!(cause instanceof CmsError)) throw cause;
    const unsigned = cause.reason === 'not_signed';
    throw refuse(unsigned ? 'not_signed' : reason, cause.message, { cause });
  }
}

/** What the sidecar refuses for this reason is refused; other errors are none of the message's. */
async function judged<Value>(
  reason: RefusalReason,
  sidecarReason: string,
  call: () => Promise<Value>,
): Promise<Value> {
  try {
    return await call();
  } catch (cause) {
    if (!(cause instanceof OffloadError) || cause.reason !== sidecarReason) throw cause;
    throw refuse(reason, cause.message, { cause });
  }
}

function refuse(
  reason: RefusalReason,
  detail: string,
  options?: ErrorOptions,
): ConfigurationRefusedError {
  return new ConfigurationRefusedError(reason, detail, options);
}
