import type { z } from 'zod';
import type { rotated } from '../../fleet/agent-api/messages.ts';
import { OffloadError, OffloadErrorCode } from '../../../offload/index.ts';
import { AgentError } from '../agent-error.ts';
import type { AgentParts } from '../agent-parts.ts';

/** Has the sidecar renew our certificates now. */
export async function rotate({
  upkeep,
  config,
  spool,
}: AgentParts): Promise<z.infer<typeof rotated>> {
  try {
    const { notAfter } = await upkeep.renew({ identity: config.identity });
    spool.add('certificate_renewed', 'renewed as asked', { notAfter: notAfter.toISOString() });
    return { notAfter: notAfter.toISOString() };
  } catch (error) {
    if (!(error instanceof OffloadError)) throw error;
    const code = error.code === OffloadErrorCode.overloaded ? 'too_many_requests' : 'unavailable';
    throw new AgentError(code, `not renewed: ${error.reason ?? error.code}`, error);
  }
}
