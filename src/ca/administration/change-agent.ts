import {
  AgentAction,
  ChangeAgentRequest,
  ChangeAgentResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { changeAgent } from '../agents/change-agent.ts';
import type { AgentAction as Action } from '../agents/transitions.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import { findAgent } from './list-agents.ts';
import { changeOnce, done } from './once.ts';

/**
 * Changes the state of an agent and answers with the agent as it is then.
 *
 * @throws ServiceError `INVALID_ARGUMENT`, `NOT_FOUND`, `FAILED_PRECONDITION` where the state does not
 * allow it
 */
export async function changeAgentState(
  context: AuthorityContext,
  request: ChangeAgentRequest,
  caller: Caller,
): Promise<ChangeAgentResponse> {
  const action = actions.get(request.action);
  if (action === undefined) {
    throw new ServiceError('INVALID_ARGUMENT', 'action_missing', 'action is missing');
  }
  const why = request.reason.trim().slice(0, maxReason);
  return await changeOnce(
    context,
    {
      caller,
      key: request.idempotencyKey,
      method: 'ChangeAgent',
      request: ChangeAgentRequest.encode(request).finish(),
    },
    ChangeAgentResponse,
    async (transaction) => {
      const outcome = await changeAgent(transaction, {
        id: request.id,
        action,
        by: caller.name,
        ...(why === '' ? {} : { why }),
      });
      if (!outcome.ok) return outcome;
      return done({ agent: await findAgent(transaction.queries, request.id) });
    },
  );
}

const actions: ReadonlyMap<AgentAction, Action> = new Map([
  [AgentAction.ACTIVATE, 'activate'],
  [AgentAction.SUSPEND, 'suspend'],
  [AgentAction.RESUME, 'resume'],
  [AgentAction.QUARANTINE, 'quarantine'],
  [AgentAction.RELEASE, 'release'],
  [AgentAction.RETIRE, 'retire'],
]);
const maxReason = 1024;
