import { toHex, wipe } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { RecoveryOrder } from '../administration/mint.ts';
import { keepUp } from '../generations/keep-up.ts';
import { mayAsk } from '../issue/agent-rules.ts';
import { lockAgents, type LockedAgent } from '../issue/agent-rows.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import type { Transaction } from '../store/transaction.ts';
import { createBundlePress } from './bundle-press.ts';
import {
  type EnrolmentCredential,
  makeEnrolmentCredential,
  requireIssuer,
} from './enrolment-credential.ts';
import { type Remembered, rememberOrder } from './mint-order.ts';
import { parseStoredProperties } from './properties.ts';

/**
 * Makes a bundle by which an agent becomes itself again, with new keys: for hosts that lost theirs, or
 * slept for longer than the grace after the end of their certificate. The order is done once; given
 * again, the same token comes with a new credential.
 *
 * Rejects with `ServiceError`: `NOT_FOUND`, `FAILED_PRECONDITION` where the agent gets no certificates
 * or has renewed since the order was first given.
 */
export async function recoverAgent(
  context: IssuingContext,
  order: RecoveryOrder,
): Promise<Uint8Array> {
  const batch = Uint8Array.from(context.random(16));
  const until = context.now().getTime() + order.lifetimeMs;
  const credential = await makeEnrolmentCredential(context, batch, until);
  try {
    const { agent, begun } = await context.store.transact(async (transaction) => {
      await keepUp(context);
      requireIssuer(context, credential);
      const row = (await lockAgents(transaction, [order.agent])).get(toHex(order.agent));
      if (row === undefined) {
        throw new ServiceError('NOT_FOUND', 'agent_unknown', 'there is no such agent');
      }
      if (!mayAsk(row.state)) {
        const message = `an agent that is ${row.state} gets no certificates: release it first`;
        throw new ServiceError('FAILED_PRECONDITION', 'agent_state', message);
      }
      const remembered = await rememberOrder(transaction, order, digestOf(order), {
        batch,
        expiresAt: transaction.now + order.lifetimeMs,
        policy: { name: row.policy, version: row.policy_version },
        keyId: context.tokenKeys.signing().key.id,
      });
      if (!remembered.again) await insertToken(transaction, order, remembered, row);
      await insertCredential(transaction, order, credential);
      return { agent: row, begun: remembered };
    });
    const key = context.tokenKeys.find(begun.keyId);
    if (key === undefined) {
      throw new ServiceError(
        'FAILED_PRECONDITION',
        'token_ended',
        'the key of this token is no more',
      );
    }
    const press = await createBundlePress(
      context,
      {
        kind: 'recover',
        role: agent.role,
        properties: parseStoredProperties(agent.properties),
        expiresAt: begun.expiresAt,
      },
      credential,
      { key, signer: await context.tokenKeys.signerOf(key) },
    );
    // The batch of one is the token.
    const [bundled] = await press.press([begun.batch]).finally(() => {
      press.close();
    });
    if (bundled === undefined) throw new Error('no bundle was made');
    return bundled.file;
  } finally {
    wipe(credential.privateKey);
  }
}

async function insertToken(
  transaction: Transaction,
  order: RecoveryOrder,
  begun: Remembered,
  agent: LockedAgent,
): Promise<void> {
  await transaction.queries
    .insertInto('token')
    .values({
      id: begun.batch,
      kind: 'recover',
      key_id: begun.keyId,
      state: 'active',
      cap: 1,
      uses: 0,
      expires_at: begun.expiresAt,
      batch: null,
      role: agent.role,
      policy: begun.policy.name,
      policy_version: begun.policy.version,
      properties: agent.properties,
      agent: agent.id,
      generation: agent.generation,
      created_at: transaction.now,
      created_by: order.caller.name,
      revoked_at: null,
      revoked_by: null,
      revoked_why: null,
    })
    .execute();
  transaction.audit({
    actor: order.caller.name,
    action: 'agent.recovery',
    subject: toHex(agent.id),
    outcome: 'done',
    details: {
      token: toHex(begun.batch),
      generation: agent.generation,
      expires: new Date(begun.expiresAt).toISOString(),
      why: order.reason,
      source: order.caller.source,
    },
  });
}

async function insertCredential(
  transaction: Transaction,
  order: RecoveryOrder,
  credential: EnrolmentCredential,
): Promise<void> {
  await transaction.queries.insertInto('certificate').values(credential.row).execute();
  transaction.audit({
    actor: order.caller.name,
    action: 'credential.issue',
    subject: toHex(credential.row.serial),
    outcome: 'done',
    details: { not_after: new Date(credential.notAfter).toISOString() },
  });
}

function digestOf({ agent, lifetimeMs, reason }: RecoveryOrder): Uint8Array {
  const text = JSON.stringify(['recover', toHex(agent), lifetimeMs, reason]);
  return hash('sha256', Buffer.from(text, 'utf8'));
}
