import type { z } from 'zod';
import type { status as statusSchema } from '../../fleet/agent-api/messages.ts';
import type { AgentParts } from '../agent-parts.ts';
import { diskFacts, systemFacts } from '../collectors/system.ts';
import { notAfterOf } from './heartbeat.ts';

/** How this host is, looked at now. */
export async function status(parts: AgentParts): Promise<z.infer<typeof statusSchema>> {
  const { config, files, identities, ports, record, surroundings } = parts;
  const [system, disks, listening] = await Promise.all([
    systemFacts(),
    diskFacts(config.status.disks),
    ports.ports(),
  ]);
  return {
    time: surroundings.now().toISOString(),
    ...system,
    disks,
    ports: [...listening],
    files: [...files.files],
    agentId: record.data.agentId ?? '',
    certificateNotAfter: notAfterOf(identities.facts?.enrolled?.notAfter).toISOString(),
  };
}
