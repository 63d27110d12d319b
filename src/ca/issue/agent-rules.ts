import type { AgentState } from '../store/schema.ts';

/** Whether an agent gets certificates: not while somebody has to look at it, and not when it is gone. */
export function mayAsk(state: AgentState): boolean {
  return state === 'enrolled' || state === 'active';
}

/** Whether it may do more than what is allowed before activation. */
export function isActive(state: AgentState): boolean {
  return state === 'active';
}
