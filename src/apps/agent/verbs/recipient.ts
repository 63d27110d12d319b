import type { Recipient } from '../../fleet/agent-api/messages.ts';
import { AgentError } from '../agent-error.ts';
import type { AgentParts } from '../agent-parts.ts';

/** What configurations are to be sealed for. */
export function recipient({ identities }: AgentParts): Recipient {
  const chain = identities.facts?.enrolled?.decryptionCertificates ?? [];
  if (chain.length === 0) {
    throw new AgentError('unavailable', 'the identity has no key for decryption');
  }
  return { certificates: chain.map((one) => Buffer.from(one).toString('base64')) };
}
