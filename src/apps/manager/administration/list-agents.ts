import type { z } from 'zod';
import type { AgentsPage, agentsQuery } from '../../fleet/admin-api/messages.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { summaryOf } from '../fleet/summary.ts';
import type { Queries } from '../store/manager-store.ts';

/** One page of agents in the order of their ids; found by index, however many there are. Rejects with `BodyError`. */
export async function listAgents(
  fleet: Fleet,
  reads: Queries,
  { state, mode, connected, label = [], after, limit }: z.output<typeof agentsQuery>,
  now: number,
): Promise<AgentsPage> {
  const labels = (Array.isArray(label) ? label : [label]).map(parseLabel);
  const agents: AgentsPage['agents'] = [];
  let from = after;
  for (;;) {
    let query = reads.selectFrom('agent').select(['no', 'id']);
    if (state !== undefined) query = query.where('state', '=', state);
    if (mode !== undefined) query = query.where('mode', '=', mode);
    for (const [name, value] of labels) {
      query = query.where('no', 'in', (inner) =>
        inner
          .selectFrom('agent_label')
          .select('agent')
          .where('name', '=', name)
          .where('value', '=', value),
      );
    }
    if (from !== undefined) query = query.where('id', '>', from);
    const rows = await query.orderBy('id').limit(limit).execute();
    for (const { no, id } of rows) {
      from = id;
      const record = fleet.byNo(no);
      if (record === undefined) continue;
      // Connections are of this process; the store knows nothing of them.
      if (connected !== undefined && (record.connection !== undefined) !== (connected === 'yes')) {
        continue;
      }
      agents.push(summaryOf(record, now));
      if (agents.length === limit) return { agents, next: id };
    }
    if (rows.length < limit) return { agents };
  }
}

function parseLabel(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new BodyError('malformed_request', 'label: expected NAME=VALUE');
}
