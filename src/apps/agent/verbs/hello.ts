import type { Hello } from '../../fleet/agent-api/messages.ts';
import type { AgentParts } from '../agent-parts.ts';

/** Who we are, as far as we know ourselves. */
export function hello({ record, identities, connectionSettings, surroundings }: AgentParts): Hello {
  const { instanceId, state, agentId } = record.data;
  const keyHash = state === 'active' ? undefined : identities.facts?.bootstrap?.keyHash;
  return {
    instanceId,
    version: surroundings.version,
    state,
    mode: connectionSettings().mode,
    ...(keyHash === undefined ? {} : { bootstrapKeyHash: keyHash }),
    ...(agentId === undefined ? {} : { agentId }),
    capabilities,
  };
}

const capabilities = ['configuration', 'events', 'files', 'operations', 'ports', 'rotate'];
