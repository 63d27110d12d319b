import type { z } from 'zod';
import type { modeAnswer, ModeRequest } from '../../fleet/agent-api/messages.ts';
import { AgentError } from '../agent-error.ts';
import type { AgentParts } from '../agent-parts.ts';
import { managerAddress } from '../config-schema.ts';

/**
 * From now on, and after restarts, connections are made in this way. The port is open before the answer is sent; what
 * the mode no longer needs ends after it.
 */
export async function changeMode(
  { connectivity, config, record, spool, connectionSettings }: AgentParts,
  { mode, managers }: ModeRequest,
  manager: string,
): Promise<z.infer<typeof modeAnswer>> {
  if (managers.some((address) => !managerAddress.safeParse(address).success)) {
    throw new AgentError('malformed_request', 'managers: expected HOST:PORT');
  }
  if (mode !== 'manager-initiated' && managers.length === 0) {
    throw new AgentError('malformed_request', `managers: needed when mode is ${mode}`);
  }
  if (mode !== 'agent-initiated' && config.listen === undefined) {
    throw new AgentError('unavailable', 'this agent has no address to listen on');
  }
  try {
    await connectivity.ensureListening(mode);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new AgentError('unavailable', `cannot listen: ${problem}`, error);
  }
  const before = connectionSettings().mode;
  await record.update(() => ({ connection: { mode, managers } }));
  if (before !== mode) {
    spool.add('mode_changed', `${before} became ${mode}`, { before, mode, manager });
  }
  const { listening } = connectivity;
  return { mode, ...(mode === 'agent-initiated' || listening === undefined ? {} : { listening }) };
}
