import { z } from 'zod';
import { connectionModes } from './connection.ts';

/**
 * Bodies of the agent's answers and of requests to it: JSON, gzipped both ways. A manager parses what an agent says with
 * these; unknown keys are dropped, everything is bounded, moments are ISO 8601 in UTC.
 */

/** Of an agent, as it sees itself. Whether it is quarantined or revoked others know. */
export const agentStates = ['bootstrapped', 'activating', 'active', 'deactivated'] as const;
export type AgentState = (typeof agentStates)[number];

const text = (max: number) => z.string().max(max);
const moment = z.iso.datetime();
const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/u);
const mode = z.enum(connectionModes);

/** Every answer that is not 2xx. */
export const errorBody = z.object({
  error: z.object({ code: text(64), message: text(1000) }),
});
export type ErrorBody = z.infer<typeof errorBody>;

export const hello = z.object({
  /** Made at the first start, kept. */
  instanceId: z.uuid(),
  version: text(64),
  state: z.enum(agentStates),
  mode,
  /** SHA-256 of the bootstrap key's SubjectPublicKeyInfo; absent: it has none (any more). */
  bootstrapKeyHash: sha256.optional(),
  /** SPIFFE ID; absent: not enrolled. */
  agentId: text(512).optional(),
  capabilities: z.array(text(64)).max(64),
});
export type Hello = z.infer<typeof hello>;

export const activated = z.object({
  state: z.literal('active'),
  agentId: text(512),
  notAfter: moment,
});
export type Activated = z.infer<typeof activated>;

/** Which configuration an agent runs; version 0: none was ever applied. */
export const configurationState = z.object({ version: count, hash: sha256.or(z.literal('')) });
export type ConfigurationState = z.infer<typeof configurationState>;

export const heartbeatRequest = z.strictObject({ managerTime: moment });
export type HeartbeatRequest = z.infer<typeof heartbeatRequest>;

export const heartbeat = z.object({
  time: moment,
  version: text(64),
  mode,
  /** What a person should know, one line each; empty: healthy. */
  problems: z.array(text(500)).max(32),
  configuration: configurationState,
  /** Sequence number of the newest event; 0: there was none. */
  eventHead: count,
  /** How many events were dropped for want of room, ever. */
  eventsDropped: count,
  operationsRunning: count,
  certificateNotAfter: moment,
  /** The floor its own listener enforces. */
  tlsMinVersion: text(16),
  uptimeSeconds: count,
});
export type Heartbeat = z.infer<typeof heartbeat>;

export const watchedFile = z.object({
  path: text(4096),
  state: z.enum(['ok', 'changed', 'missing', 'unreadable', 'new']),
  sha256: sha256.optional(),
  sizeBytes: count.optional(),
  mode: text(8).optional(),
  modifiedAt: moment.optional(),
});

export const listeningPort = z.object({
  protocol: z.enum(['tcp', 'tcp6', 'udp', 'udp6']),
  address: text(64),
  port: z.int().min(0).max(65_535),
  uid: count.optional(),
});

export const status = z.object({
  time: moment,
  hostname: text(255),
  system: text(255),
  uptimeSeconds: count,
  load: z.tuple([z.number(), z.number(), z.number()]),
  memory: z.object({ totalBytes: count, availableBytes: count }),
  disks: z.array(z.object({ path: text(4096), totalBytes: count, availableBytes: count })).max(64),
  ports: z.array(listeningPort).max(4096),
  files: z.array(watchedFile).max(4096),
  agentId: text(512),
  certificateNotAfter: moment,
});
export type Status = z.infer<typeof status>;

export const eventKinds = [
  'started',
  'activated',
  'configuration_applied',
  'configuration_refused',
  'configuration_rolled_back',
  'file_changed',
  'port_opened',
  'port_closed',
  'operation_started',
  'operation_ended',
  'connection_refused',
  'mode_changed',
  'certificate_renewed',
  'problem',
  /** Events `from` to `to` (in `facts`) were dropped. */
  'gap',
] as const;

export const event = z.object({
  /** Counts up by one, from 1. */
  seq: z.int().min(1),
  at: moment,
  kind: z.enum(eventKinds),
  message: text(1000),
  facts: z.record(text(64), z.union([text(4096), z.number(), z.boolean()])),
});
export type AgentEvent = z.infer<typeof event>;

/** Query of `events`: those after a sequence number, which acknowledges all up to it. */
export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0),
  max: z.coerce.number().int().min(1).max(1000),
});

export const events = z.object({
  events: z.array(event).max(1000),
  head: count,
});
export type Events = z.infer<typeof events>;

export const configured = z.object({
  outcome: z.enum(['applied', 'unchanged']),
  configuration: configurationState,
});
export type Configured = z.infer<typeof configured>;

/**
 * The agent's chain for decryption, leaf first, each certificate DER in base64: what a configuration is sealed for. The
 * manager takes it only if it chains to its own authority and carries the agent's id.
 */
export const recipient = z.object({
  certificates: z.array(z.base64().max(16_384)).min(1).max(8),
});
export type Recipient = z.infer<typeof recipient>;

export const effective = z.object({
  configuration: configurationState,
  appliedAt: moment.optional(),
  /** The configuration, secrets replaced. */
  content: z.unknown(),
});
export type Effective = z.infer<typeof effective>;

export const operationRequest = z.strictObject({
  arguments: z.record(text(64), text(1024)).default({}),
});

export const operationStates = ['running', 'succeeded', 'failed', 'interrupted'] as const;

export const operation = z.object({
  id: z.uuid(),
  name: text(64),
  state: z.enum(operationStates),
  startedAt: moment,
  endedAt: moment.optional(),
  /** Of 1. */
  progress: z.number().min(0).max(1).optional(),
  exitCode: z.int().optional(),
  /** The end of what it printed. */
  output: text(65_536),
});
export type Operation = z.infer<typeof operation>;

export const modeRequest = z.strictObject({
  mode,
  /** Where the agent dials; needed unless the mode is `manager-initiated`. */
  managers: z.array(text(300)).max(8).default([]),
});
export type ModeRequest = z.infer<typeof modeRequest>;
export const modeAnswer = z.object({ mode, listening: text(300).optional() });

export const rotated = z.object({ notAfter: moment });
export const deactivated = z.object({ state: z.enum(agentStates) });
