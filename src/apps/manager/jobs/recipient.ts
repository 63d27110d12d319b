import { parseSidekeyId, type SignerToVerify } from '../../../offload/index.ts';
import type { AgentRecord } from '../fleet/agent-record.ts';
import type { AgentClient } from '../requests/agent-client.ts';
import { ProtocolViolation } from '../requests/failure.ts';

/**
 * The certificate to seal for, asked of the agent just before: our sidecar judges that it chains to the authority both
 * trust now, and is of this agent and of nobody else. Answers DER. Rejects with {@link ProtocolViolation} or an
 * error of the sidecar.
 */
export async function recipientOf(
  record: AgentRecord,
  client: AgentClient,
  verifySigner: (signer: SignerToVerify) => Promise<{ readonly spiffeId: string }>,
): Promise<Uint8Array> {
  const answer = await client.recipient();
  const certificates = answer.certificates.map((text) => Buffer.from(text, 'base64'));
  const { spiffeId } = await verifySigner({
    certificates,
    requiredRole: 'agent',
    recipient: true,
  });
  const [leaf] = certificates;
  if (parseSidekeyId(spiffeId)?.uuid !== record.row.id || leaf === undefined) {
    throw new ProtocolViolation(`shows a certificate for decryption of ${spiffeId}`);
  }
  return leaf;
}
