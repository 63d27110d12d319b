import type { Heartbeat } from '../../fleet/agent-api/messages.ts';
import { AgentError } from '../agent-error.ts';
import type { AgentParts } from '../agent-parts.ts';

/** How we are. `managerTime` is only compared with. */
export function heartbeat(parts: AgentParts, managerTime: Date): Heartbeat {
  const { record, identities, spool, operations, surroundings, connectionSettings } = parts;
  const now = surroundings.now();
  const { configuration } = record.data;
  const { version, hash } = configuration;
  return {
    time: now.toISOString(),
    version: surroundings.version,
    mode: connectionSettings().mode,
    problems: problemsOf(parts, now, managerTime)
      .map((text) => text.slice(0, 500))
      .slice(0, 32),
    configuration: { version, hash },
    eventHead: spool.head,
    eventsDropped: spool.dropped,
    operationsRunning: operations.running,
    certificateNotAfter: notAfterOf(identities.facts?.enrolled?.notAfter).toISOString(),
    tlsMinVersion: 'TLSv1.2',
    uptimeSeconds: Math.floor((now.getTime() - parts.startedAt.getTime()) / 1000),
  };
}

/** Of the identity in use. Throws {@link AgentError} if the sidecar has not told. */
export function notAfterOf(notAfter: Date | undefined): Date {
  if (notAfter !== undefined) return notAfter;
  throw new AgentError('unavailable', 'the sidecar does not tell of our identity');
}

function problemsOf(parts: AgentParts, now: Date, managerTime: Date): readonly string[] {
  const { identities, spool, connectivity, configurations, files, record } = parts;
  const problems: string[] = [];
  if (identities.problem !== undefined) problems.push(`sidecar: ${identities.problem}`);
  const enrolled = identities.facts?.enrolled;
  if (enrolled?.problem !== undefined) problems.push(`identity: ${enrolled.problem}`);
  if (enrolled !== undefined) {
    const left = enrolled.notAfter.getTime() - now.getTime();
    const life = enrolled.notAfter.getTime() - enrolled.notBefore.getTime();
    if (left <= 0) problems.push('certificate has expired');
    else if (left < life / 4) problems.push('certificate was not renewed in time');
  }
  const skewMs = now.getTime() - managerTime.getTime();
  if (Math.abs(skewMs) > maxSkewMs) {
    const seconds = String(Math.round(skewMs / 1000));
    problems.push(`clock differs from the manager's by ${seconds} s`);
  }
  if (spool.failing) problems.push('events cannot be written');
  if (record.data.configuration.applying !== undefined)
    problems.push('a configuration is being applied');
  return [...problems, ...configurations.problems, ...files.problems, ...connectivity.problems];
}

const maxSkewMs = 60_000;
