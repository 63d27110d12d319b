import type { AgentDetail, AgentSummary } from '../../fleet/admin-api/messages.ts';
import type { AgentRecord } from './agent-record.ts';

/** An agent as administrators see it in lists. */
export function summaryOf(record: AgentRecord, now: number): AgentSummary {
  const { row, connection, heartbeat, peer, lastSeenAt } = record;
  const notAfter = peer === undefined ? heartbeat?.certificateNotAfter : moment(peer.notAfter);
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    mode: row.mode,
    connection: connection?.origin ?? 'none',
    missed: record.missed,
    desired: { version: row.desired_version, hash: row.desired_hash },
    effective: heartbeat?.configuration ?? { version: 0, hash: '' },
    problems: problemsOf(record, now).slice(0, 32),
    labels: record.labels,
    ...present('spiffeId', row.spiffe_id),
    ...present('address', row.address),
    ...present('version', heartbeat?.version),
    ...present('lastSeenAt', lastSeenAt === undefined ? undefined : moment(lastSeenAt)),
    ...present('certificateNotAfter', notAfter),
    ...present('tlsMinVersion', heartbeat?.tlsMinVersion),
  };
}

/** All that is known of one agent. */
export function detailOf(record: AgentRecord, now: number): AgentDetail {
  const { row, heartbeat } = record;
  return {
    ...summaryOf(record, now),
    registeredAt: moment(row.registered_at),
    eventsPulled: row.events_stored,
    ...present('activatedAt', row.activated_at === null ? undefined : moment(row.activated_at)),
    ...present('activatedBy', row.activated_by),
    ...present('bootstrapKeyHash', row.bootstrap_key_hash),
    ...present('keyFingerprint', row.key_hash),
    ...present('reason', row.reason),
    ...present('lastHeartbeat', heartbeat),
  };
}

function problemsOf(record: AgentRecord, now: number): readonly string[] {
  const { row, problem, heartbeat } = record;
  const effective = heartbeat?.configuration.version ?? 0;
  const expired =
    row.desired_version > 0 && effective !== row.desired_version && row.desired_until < now;
  return [
    ...(problem === undefined ? [] : [problem]),
    ...(expired ? ['its desired configuration expired before it was taken'] : []),
    ...(heartbeat?.problems ?? []),
  ];
}

/** Nothing at all for what is not known. */
function present<Name extends string, Value>(
  name: Name,
  value: Value | null | undefined,
): Partial<Record<Name, Value>> {
  return value === undefined || value === null
    ? {}
    : ({ [name]: value } as Partial<Record<Name, Value>>);
}

function moment(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
