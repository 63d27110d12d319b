import { type AgentErrorCode, agentErrors } from '../fleet/agent-api/errors.ts';

/** Why a request is not answered as it wishes; the message goes to the manager. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  get status(): number {
    return agentErrors[this.code];
  }
}
