import type { AgentDetail, FleetState } from '../../../../src/apps/fleet/admin-api/messages.ts';
import type { AgentView, FleetView } from '../../../../src/apps/fleet/page/index.ts';

export const now = new Date('2026-12-01T12:00:00.000Z');
const at = (seconds: number): string => new Date(now.getTime() + seconds * 1000).toISOString();

export function sampleAgent(number: number, changes: Partial<AgentDetail> = {}): AgentDetail {
  return {
    id: `0f6b1c52-8e0e-4d53-9a9c-${String(number).padStart(12, '0')}`,
    spiffeId: `spiffe://demo.test/agent/0f6b1c52-8e0e-4d53-9a9c-${String(number).padStart(12, '0')}`,
    name: `web-${String(number)}`,
    state: 'active',
    mode: 'agent-initiated',
    connection: 'accepted',
    version: '0.1.0',
    lastSeenAt: at(-20),
    missed: 0,
    certificateNotAfter: at(50_000),
    tlsMinVersion: 'TLSv1.2',
    desired: { version: 3, hash: 'aa' },
    effective: { version: 3, hash: 'aa' },
    problems: [],
    labels: { zone: 'a' },
    registeredAt: at(-400_000),
    activatedAt: at(-399_000),
    activatedBy: 'owner',
    eventsPulled: 12,
    ...changes,
  };
}

export function sampleFleet(changes: Partial<FleetView> = {}): FleetView {
  const states: Record<FleetState, number> = {
    registered: 0,
    pending: 1,
    activating: 0,
    active: 8,
    deactivated: 0,
    quarantined: 1,
    revoked: 1,
  };
  return {
    manager: {
      version: '0.1.0',
      spiffeId: 'spiffe://demo.test/manager/5c0f1a52-8e0e-4d53-9a9c-d1f2a3b4c5d6',
      startedAt: at(-90_000),
      listening: '0.0.0.0:8700',
      states,
      connected: 8,
      sweep: { lastStartedAt: at(-31), lastDurationMs: 412, p50Ms: 3.1, p99Ms: 18.2, missed: 1 },
      problems: [],
    },
    agents: {
      agents: [
        ...[1, 2, 3].map((number) => sampleAgent(number)),
        sampleAgent(4, { missed: 2, lastSeenAt: at(-200), connection: 'none' }),
        sampleAgent(5, { desired: { version: 4, hash: 'bb' }, certificateNotAfter: at(7000) }),
        sampleAgent(6, { state: 'quarantined', problems: ['two keys were seen for this id'] }),
        sampleAgent(7, { state: 'revoked', connection: 'none', certificateNotAfter: at(-100) }),
        sampleAgent(8, {
          state: 'pending',
          desired: { version: 0, hash: '' },
          effective: { version: 0, hash: '' },
        }),
      ],
    },
    state: undefined,
    now,
    ...changes,
  };
}

export function sampleAgentView(changes: Partial<AgentView> = {}): AgentView {
  return {
    agent: sampleAgent(1),
    history: {
      beats: Array.from({ length: 120 }, (_, index) => {
        const missed = index === 40 || index === 41 || index === 90;
        return {
          at: at((index - 120) * 60),
          outcome: missed ? ('missed' as const) : ('ok' as const),
          ...(missed ? {} : { roundTripMs: 3 + Math.abs(Math.sin(index)) * 4, clockOffsetMs: 2 }),
        };
      }),
    },
    events: [
      { seq: 1, at: at(-399_000), kind: 'activated', message: 'activated by owner', facts: {} },
      { seq: 2, at: at(-3000), kind: 'file_changed', message: '/etc/hosts changed', facts: {} },
    ],
    now,
    ...changes,
  };
}
