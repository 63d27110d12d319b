import type { AgentState } from '../store/schema.ts';

/** What an administrator does to an agent; revoking it is another matter (`revokeOperation`). */
export type AgentAction = 'activate' | 'suspend' | 'resume' | 'quarantine' | 'release' | 'retire';

/** Where an action leads. `before`: back to `active` or `enrolled`, as it was activated once or not. */
type Target = AgentState | 'before';

/**
 * The state an action leads to from another; `undefined`: it is not allowed there. What leads to
 * where the agent is already is answered with that state, so that repeating an action does no harm.
 */
export function nextAgentState(
  state: AgentState,
  action: AgentAction,
  wasActivated: boolean,
): AgentState | undefined {
  const { from, to } = transitions[action];
  const target = to === 'before' ? (wasActivated ? 'active' : 'enrolled') : to;
  return from.includes(state) || state === target ? target : undefined;
}

/** `banned` and `retired` are in no `from`: they are final. */
const transitions: Readonly<
  Record<AgentAction, { readonly from: readonly AgentState[]; readonly to: Target }>
> = {
  activate: { from: ['enrolled'], to: 'active' },
  suspend: { from: ['enrolled', 'active'], to: 'suspended' },
  resume: { from: ['suspended'], to: 'before' },
  // One holder of a copied identity may have been suspended before the copy showed.
  quarantine: { from: ['enrolled', 'active', 'suspended'], to: 'quarantined' },
  release: { from: ['quarantined'], to: 'before' },
  retire: { from: ['enrolled', 'active', 'suspended', 'quarantined'], to: 'retired' },
};
