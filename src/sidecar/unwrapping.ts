import type { handleUnaryCall } from '@grpc/grpc-js';
import { wipe } from '../bytes/bytes.ts';
import type { UnwrapKeyRequest, UnwrapKeyResponse } from '../gen/sidekey/v1/workload.ts';
import { CmsError, identifies, openContentKey, parseRecipientInfo } from '../pki/cms/index.ts';
import { parseCertificate } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import { CallBudget } from './call-budget.ts';
import type { SourceCredential } from './credential-source.ts';
import { type MessageCall, messageCall, type MessageServices } from './message-call.ts';

export interface UnwrapServices extends MessageServices {
  /** Finds a call in the log. */
  readonly newUnwrapId: () => string;
}

/**
 * Unwraps the content keys of messages for an identity, with the key it has for that and no other. What
 * comes out is a key that somebody wrapped for it: the key wrap's own check, and OAEP's, see to it that
 * it is never the result of a bare private-key operation. Whatever is wrong with a message has one
 * answer; the log says which it was.
 */
export function unwrapKey(
  services: UnwrapServices,
): handleUnaryCall<UnwrapKeyRequest, UnwrapKeyResponse> {
  const budget = new CallBudget(services.messagesPerSecond, services.now);
  const answer = (request: UnwrapKeyRequest, { caller, identity }: MessageCall) => {
    budget.spend(caller.id);
    const { name } = identity;
    const source = services.identities.enrolledEntry(name)?.source;
    const credential = source?.decryption;
    if (credential === undefined) throw noKey(name);
    const unwrapId = services.newUnwrapId();
    const facts = { unwrapId, caller: caller.id, identity: name };
    const { contentEncryption } = request;
    try {
      const contentKey = open(request, credential, source?.retiredDecryption);
      services.log.info({ ...facts, contentEncryption }, 'content key unwrapped');
      return { contentKey: asBuffer(contentKey), unwrapId };
    } catch (error) {
      if (!(error instanceof CmsError)) throw error;
      const { reason, message: detail } = error;
      services.log.warn({ ...facts, reason, detail }, 'content key not unwrapped');
      throw new ServiceError('INVALID_ARGUMENT', 'unwrap_refused', 'the key cannot be unwrapped');
    }
  };
  return messageCall(services, answer, ({ contentKey }) => {
    wipe(contentKey);
  });
}

/** With the key whose certificate the message names: that of now, or the one a renewal has just replaced. */
function open(
  { recipientInfo, contentEncryption }: UnwrapKeyRequest,
  current: SourceCredential,
  retired: SourceCredential | undefined,
): Uint8Array {
  if (!contentEncryptions.includes(contentEncryption)) {
    throw new CmsError('unsupported_algorithm', 'the content is encrypted in another way');
  }
  const info = parseRecipientInfo(recipientInfo);
  const keys = retired === undefined ? [current] : [current, retired];
  for (const { chain, privateKey } of keys) {
    const [leaf] = chain;
    const certificate = leaf && parseCertificate(leaf);
    if (certificate === undefined || !identifies(info.recipient, certificate)) continue;
    return openContentKey(info, { certificate, privateKey });
  }
  throw new CmsError('recipient_mismatch', 'the message is for another certificate');
}

/** The same memory under the name the generated code wants. */
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function noKey(name: string): ServiceError {
  return new ServiceError(
    'FAILED_PRECONDITION',
    'no_decryption_key',
    `"${name}" has no key for decryption: only enrolled identities do, unless decryptionKeyType is none`,
  );
}

const contentEncryptions: readonly string[] = ['aes-256-gcm', 'aes-256-cbc'];
