import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { endAgents } from '../revocation/revoke-agents.ts';
import type { AgentState } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Operation, Outcome } from '../write/operation.ts';
import { type AgentAction, nextAgentState } from './transitions.ts';

/** A change of one agent's state. */
export interface AgentChange {
  readonly id: Uint8Array;
  readonly action: AgentAction;
  /** As `Caller.name`. */
  readonly by: string;
  readonly why?: string;
  /** Hex. */
  readonly request?: string;
}

/**
 * Changes agents' states and answers the new ones. Refused and audited: `agent_unknown`
 * (`NOT_FOUND`), `agent_state` (`FAILED_PRECONDITION`) where the action is not allowed. The agent is
 * told on its stream; one that retires has its certificates revoked.
 */
export const changeAgentOperation: Operation<AgentChange, AgentState> = {
  name: 'change-agent',
  priority: 'other',
  async apply(transaction, items) {
    const outcomes: Outcome<AgentState>[] = [];
    for (const item of items) outcomes.push(await changeAgent(transaction, item));
    return outcomes;
  },
};

/** One change, also as a part of another transaction: a copied identity found at renewal. */
export async function changeAgent(
  transaction: Transaction,
  change: AgentChange,
): Promise<Outcome<AgentState>> {
  const agent = await transaction.queries
    .selectFrom('agent')
    .select(['state', 'activated_at'])
    .where('id', '=', change.id)
    .executeTakeFirst();
  if (agent === undefined) {
    return refuse(transaction, change, 'NOT_FOUND', 'agent_unknown', 'there is no such agent');
  }
  const next = nextAgentState(agent.state, change.action, agent.activated_at !== null);
  if (next === undefined) {
    const message = `an agent that is ${agent.state} cannot do that: ${change.action}`;
    return refuse(transaction, change, 'FAILED_PRECONDITION', 'agent_state', message);
  }
  if (next !== agent.state) await enter(transaction, change, agent.state, next);
  return { ok: true, value: next };
}

async function enter(
  transaction: Transaction,
  change: AgentChange,
  from: AgentState,
  to: AgentState,
): Promise<void> {
  const { id, by, why, request } = change;
  if (to === 'retired') {
    await endAgents(transaction, [id], 'retired', {
      reason: 'cessationOfOperation',
      by,
      ...(why === undefined ? {} : { comment: why }),
      ...(request === undefined ? {} : { request }),
    });
    return;
  }
  const { numUpdatedRows } = await transaction.queries
    .updateTable('agent')
    .set({
      state: to,
      state_at: transaction.now,
      state_by: by,
      state_why: why ?? null,
      ...(change.action === 'activate' ? { activated_at: transaction.now, activated_by: by } : {}),
    })
    .where('id', '=', id)
    .where('state', '=', from)
    .executeTakeFirst();
  // Another replica was faster: the caller is to look again.
  if (numUpdatedRows !== 1n) {
    throw new ServiceError('ABORTED', 'agent_changed', 'the agent has just been changed');
  }
  await transaction.publish({ type: 'agent_state', subject: id, payload: { state: to } });
  transaction.audit({
    actor: by,
    action: `agent.${change.action}`,
    subject: toHex(id),
    outcome: 'done',
    details: { from, to, ...(why === undefined ? {} : { why }) },
    ...(request === undefined ? {} : { request }),
  });
}

function refuse(
  transaction: Transaction,
  change: AgentChange,
  status: 'NOT_FOUND' | 'FAILED_PRECONDITION',
  reason: string,
  message: string,
): Outcome<never> {
  transaction.audit({
    actor: change.by,
    action: `agent.${change.action}`,
    subject: toHex(change.id),
    outcome: 'refused',
    details: { why: reason },
    ...(change.request === undefined ? {} : { request: change.request }),
  });
  return { ok: false, error: new ServiceError(status, reason, message) };
}
