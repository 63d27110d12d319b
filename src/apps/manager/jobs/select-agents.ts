import type { z } from 'zod';
import type { selection } from '../../fleet/admin-api/messages.ts';
import { type AgentRecord, isActive } from '../fleet/agent-record.ts';
import { ConflictError } from '../fleet/conflict-error.ts';
import type { Fleet } from '../fleet/fleet.ts';

/** The active agents that are meant: those named, those with all the labels, or all. Throws {@link ConflictError}. */
export function selectAgents(
  fleet: Fleet,
  { agents, labels = {} }: z.output<typeof selection>,
): readonly AgentRecord[] {
  const wanted = Object.entries(labels);
  const fits = (record: AgentRecord): boolean =>
    wanted.every(([name, value]) => record.labels[name] === value);
  if (agents === undefined) {
    return [...fleet.all()].filter((record) => isActive(record) && fits(record));
  }
  const named = [...new Set(agents)].map((id) => {
    const record = fleet.byId(id.toLowerCase());
    if (record === undefined) throw new ConflictError(`there is no agent ${id}`);
    if (!isActive(record)) throw new ConflictError(`agent ${id} is ${record.row.state}`);
    return record;
  });
  return named.filter(fits);
}
