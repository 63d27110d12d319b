import type { handleUnaryCall } from '@grpc/grpc-js';
import type {
  SignConfigurationRequest,
  SignConfigurationResponse,
} from '../gen/sidekey/v1/workload.ts';
import { hashLength, type HashName } from '../crypto/hash.ts';
import {
  agentIdPattern,
  CONFIGURATION_CONTENT_OID,
  type ConfigurationStatement,
  digestOfScheme,
  encodeConfigurationStatement,
  encodeSignedAttributes,
  encodeSignerInfo,
  signingScheme,
} from '../pki/cms/index.ts';
import { parseSpiffeId } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { LocalIdentity } from './local-identity.ts';
import { messageCall, type MessageServices } from './message-call.ts';
import { roleOf } from './signer-judgement.ts';
import type { Signer } from './signer.ts';

export interface SigningServices extends MessageServices {
  readonly signer: Signer;
}

/**
 * Signs configurations by identities of role `manager`. What is signed is written here: a `SET` of
 * attributes that names the type of content, an agent, a version and an end, which neither a TLS peer nor
 * a certificate would ever take for a message of its own. The time is ours, not the caller's.
 */
export function signConfiguration(
  services: SigningServices,
): handleUnaryCall<SignConfigurationRequest, SignConfigurationResponse> {
  return messageCall(services, async (request: SignConfigurationRequest, call) => {
    const { identity, caller, now } = call;
    requireManager(identity);
    const statement = statementOf(request, now);
    const scheme = schemeOf(identity);
    const signedAttributes = encodeSignedAttributes({
      contentType: CONFIGURATION_CONTENT_OID,
      messageDigest: digestFor(scheme, request),
      signingTime: now,
      others: encodeConfigurationStatement(statement),
    });
    const { privateKey, leaf, name, credential } = identity;
    const signature = await services.signer.sign(privateKey, scheme, signedAttributes);
    const { agentId, version, notAfter } = statement;
    services.log.info(
      { caller: caller.id, identity: name, agentId, version, notAfter },
      'configuration signed',
    );
    return {
      signerInfo: Buffer.from(
        encodeSignerInfo({ certificate: leaf, signedAttributes, scheme, signature }),
      ),
      certificates: credential.certificates.map((der) => Buffer.from(der)),
    };
  });
}

function requireManager({ name, spiffeId }: LocalIdentity): void {
  const id = parseSpiffeId(spiffeId ?? '');
  if (id !== undefined && roleOf(id) === 'manager') return;
  throw new ServiceError(
    'PERMISSION_DENIED',
    'not_a_manager',
    `"${name}" is no manager: configurations are signed by identities of that role`,
  );
}

function statementOf(request: SignConfigurationRequest, now: Date): ConfigurationStatement {
  const { agentId, version, notAfter } = request;
  if (!agentIdPattern.test(agentId)) throw invalid('agent_id is not a lower-case UUID');
  if (version < 1n || version > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalid('version is not from 1 to 2^53 - 1');
  }
  const latest = now.getTime() + maxValidityMs;
  if (notAfter === undefined || !(notAfter > now) || !(notAfter.getTime() <= latest)) {
    throw invalid('not_after is not within the next 400 days');
  }
  return { agentId, version: Number(version), notAfter };
}

/** The digest that goes with the signature: one for content and attributes (RFC 5754 §3). */
function digestFor(scheme: number, request: SignConfigurationRequest): Uint8Array {
  const name = digestOfScheme(scheme);
  if (name === undefined) throw new TypeError('a scheme without a digest');
  const digests: Readonly<Record<HashName, Uint8Array>> = {
    sha256: request.contentSha256,
    sha384: request.contentSha384,
    sha512: request.contentSha512,
  };
  const digest = digests[name];
  if (digest.length === hashLength[name]) return digest;
  throw invalid(`content_${name} has ${String(digest.length)} bytes`);
}

/** A key restricted to certain parameters has to keep to them. */
function schemeOf({ credential: { signatureSchemes, keyKind } }: LocalIdentity): number {
  return signatureSchemes?.[0] ?? signingScheme(keyKind);
}

function invalid(message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'configuration_invalid', message);
}

const maxValidityMs = 400 * 86_400_000;
