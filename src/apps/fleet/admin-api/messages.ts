import { z } from 'zod';
import { connectionModes } from '../agent-api/connection.ts';
import { configurationState, event, heartbeat, operationStates } from '../agent-api/messages.ts';

/**
 * What administrators say to a manager and hear of it (`routes.ts`): JSON over its unix socket, or over HTTPS with a certificate of
 * role `operator`. Errors are `errorBody` of the agent's API.
 */

/** Of an agent, as its manager sees it. */
export const fleetStates = [
  /** An operator named it; it was not seen yet. */
  'registered',
  /** It is enrolled and waits for an administrator. */
  'pending',
  'activating',
  'active',
  'deactivated',
  /** Two keys were seen for one id, or an administrator said so. */
  'quarantined',
  'revoked',
] as const;
export type FleetState = (typeof fleetStates)[number];

const text = (max: number) => z.string().max(max);
const moment = z.iso.datetime();
const count = z.int().min(0);
const mode = z.enum(connectionModes);
const labels = z.record(text(64), text(256));
const sha256 = z.string().regex(/^[0-9a-f]{64}$/u);
/** UUID of an agent: that of its SPIFFE ID, or one the manager made while it has none. */
const agentKey = z.uuid();

export const agentSummary = z.object({
  id: agentKey,
  /** SPIFFE ID; absent: not enrolled. */
  spiffeId: text(512).optional(),
  name: text(255),
  state: z.enum(fleetStates),
  mode,
  /** Whether a connection is up, and who dialled it. */
  connection: z.enum(['none', 'dialled', 'accepted']),
  address: text(300).optional(),
  version: text(64).optional(),
  lastSeenAt: moment.optional(),
  /** Heartbeats missed in a row. */
  missed: count,
  certificateNotAfter: moment.optional(),
  tlsMinVersion: text(16).optional(),
  desired: configurationState,
  effective: configurationState,
  problems: z.array(text(500)).max(32),
  labels,
});
export type AgentSummary = z.infer<typeof agentSummary>;

export const agentDetail = agentSummary.extend({
  registeredAt: moment,
  activatedAt: moment.optional(),
  activatedBy: text(512).optional(),
  bootstrapKeyHash: sha256.optional(),
  keyFingerprint: sha256.optional(),
  /** Why it is in this state, where somebody or something gave a reason. */
  reason: text(1000).optional(),
  eventsPulled: count,
  lastHeartbeat: heartbeat.optional(),
});
export type AgentDetail = z.infer<typeof agentDetail>;

/** `GET /v1/agents`; pages by `after`, an id. */
export const agentsQuery = z.strictObject({
  state: z.enum(fleetStates).optional(),
  mode: mode.optional(),
  connected: z.enum(['yes', 'no']).optional(),
  /** `k=v`, all of which hold. */
  label: z.union([text(330), z.array(text(330)).max(8)]).optional(),
  after: agentKey.optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});
export const agentsPage = z.object({ agents: z.array(agentSummary), next: agentKey.optional() });
export type AgentsPage = z.infer<typeof agentsPage>;

/** `POST /v1/agents`: names an agent that the manager will dial. */
export const registration = z.strictObject({
  name: text(255).min(1),
  /** HOST:PORT of the agent's listener. */
  address: text(300).min(3),
  bootstrapKeyHash: sha256,
  mode: mode.default('manager-initiated'),
  labels: labels.default({}),
});
export type Registration = z.infer<typeof registration>;

/** `POST /v1/agents/ID/{quarantine|release|deactivate|forget}` */
export const reasoned = z.strictObject({ reason: text(1000).default('') });
/** `POST /v1/agents/ID/mode` */
export const modeChange = z.strictObject({ mode, address: text(300).optional() });
/*
 * `POST /v1/agents/ID/activate`: a pending agent with an empty body; a registered one with an enrolment bundle as body,
 * of content type `application/x-pem-file`.
 */

/** Which agents a job is for. */
export const selection = z.strictObject({
  agents: z.array(agentKey).max(100_000).optional(),
  labels: labels.optional(),
});

/** `PUT /v1/configuration`: desired from now on by all that are selected; answers a job. */
export const configurationOrder = z.strictObject({
  selection: selection.default({}),
  /** An `agentConfiguration`. */
  content: z.unknown(),
  /** How long the sealed form is good for. */
  lifetimeSeconds: z.int().min(60).max(31_536_000).default(86_400),
});

/** `POST /v1/jobs`: one operation on many agents; the header `idempotency-key` is needed. */
export const operationOrder = z.strictObject({
  operation: text(64).min(1),
  arguments: z.record(text(64), text(1024)).default({}),
  selection: selection.default({}),
  concurrency: z.int().min(1).max(1000).default(200),
  deadlineSeconds: z.int().min(1).max(86_400).default(300),
});

export const jobKinds = ['operation', 'configuration'] as const;
export const targetStates = ['waiting', ...operationStates, 'unreachable'] as const;

/** `GET /v1/jobs/ID`; resumed by `POST /v1/jobs/ID/resume`, which tries what is not `succeeded` again. */
export const job = z.object({
  id: z.uuid(),
  kind: z.enum(jobKinds),
  /** Name of the operation, or version of the configuration. */
  subject: text(64),
  startedAt: moment,
  endedAt: moment.optional(),
  by: text(512),
  total: count,
  counts: z.record(z.enum(targetStates), count),
});
export type Job = z.infer<typeof job>;

/** `GET /v1/jobs/ID/targets?after=&limit=` */
export const jobTarget = z.object({
  agent: agentKey,
  state: z.enum(targetStates),
  exitCode: z.int().optional(),
  output: text(65_536),
});
export const targetsQuery = z.strictObject({
  after: agentKey.optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});
export const jobTargets = z.object({ targets: z.array(jobTarget), next: agentKey.optional() });

/** `GET /v1/agents/ID/events?after=&limit=`: what was pulled of the agent so far. */
export const storedEvents = z.object({ events: z.array(event).max(1000), head: count });

/** Of lists with numbers: what comes after this one. */
export const pageQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

/** `GET /v1/jobs`: the last hundred. */
export const jobsList = z.object({ jobs: z.array(job).max(100) });

/** Who changed what, when, and how it ended. */
export const auditPage = z.object({
  entries: z
    .array(
      z.object({
        seq: z.int().min(1),
        at: moment,
        actor: text(512),
        action: text(64),
        subject: text(512),
        details: text(4096),
      }),
    )
    .max(1000),
});

/** `GET /v1/agents/ID/history`: its last heartbeats, oldest first. */
export const history = z.object({
  beats: z
    .array(
      z.object({
        at: moment,
        outcome: z.enum(['ok', 'missed']),
        roundTripMs: z.number().optional(),
        clockOffsetMs: z.number().optional(),
      }),
    )
    .max(2000),
});

/** `GET /v1/manager` */
export const managerStatus = z.object({
  version: text(64),
  spiffeId: text(512).optional(),
  startedAt: moment,
  /** Where agents dial it; empty: nowhere. */
  listening: text(300),
  states: z.record(z.enum(fleetStates), count),
  connected: count,
  sweep: z.object({
    lastStartedAt: moment.optional(),
    lastDurationMs: z.number().optional(),
    p50Ms: z.number().optional(),
    p99Ms: z.number().optional(),
    missed: count,
  }),
  problems: z.array(text(500)).max(64),
});
export type ManagerStatus = z.infer<typeof managerStatus>;
