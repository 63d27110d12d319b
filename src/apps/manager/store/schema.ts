import type { Insertable, Selectable } from 'kysely';
import type { ConnectionMode } from '../../fleet/agent-api/connection.ts';
import type { FleetState } from '../../fleet/admin-api/messages.ts';

/** The tables of a manager. Moments are milliseconds since 1970, booleans 0 or 1. */
export interface Schema {
  readonly counter: CounterTable;
  readonly agent: AgentTable;
  readonly agent_label: AgentLabelTable;
  readonly agent_observed: AgentObservedTable;
  readonly key_seen: KeySeenTable;
  readonly heartbeat: HeartbeatTable;
  readonly event: EventTable;
  readonly configuration: ConfigurationTable;
  readonly job: JobTable;
  readonly job_target: JobTargetTable;
  readonly idempotency: IdempotencyTable;
  readonly audit: AuditTable;
}

export type Row<Name extends keyof Schema> = Selectable<Schema[Name]>;
export type NewRow<Name extends keyof Schema> = Insertable<Schema[Name]>;

export interface CounterTable {
  readonly name: string;
  readonly value: number;
}

export interface AgentTable {
  /** Ours, never told: an agent's id changes once, when it is activated. */
  readonly no: number;
  readonly id: string;
  /** The id it was registered under, by which it is still found. */
  readonly registered_id: string | null;
  readonly spiffe_id: string | null;
  readonly name: string;
  readonly state: FleetState;
  readonly mode: ConnectionMode;
  readonly address: string | null;
  readonly bootstrap_key_hash: string | null;
  /** Of the agent that was told to activate; durable before it is told. */
  readonly instance_id: string | null;
  readonly activation_key: string | null;
  /** Of the newest certificate that was confirmed. */
  readonly key_hash: string | null;
  readonly key_not_before: number | null;
  readonly reason: string | null;
  readonly registered_at: number;
  readonly activated_at: number | null;
  readonly activated_by: string | null;
  /** Sequence number, of the agent's, of the newest event it has told. */
  readonly events_pulled: number;
  /** The number of the newest that is kept here: they go up by one, whatever the agent counts. */
  readonly events_stored: number;
  readonly desired_version: number;
  readonly desired_hash: string;
  readonly desired_until: number;
}

export interface AgentLabelTable {
  readonly agent: number;
  readonly name: string;
  readonly value: string;
}

export interface AgentObservedTable {
  readonly agent: number;
  readonly last_seen_at: number | null;
  readonly missed: number;
  /** Counts heartbeats, answered or not. */
  readonly beats: number;
  /** JSON of the last answer. */
  readonly heartbeat: string | null;
}

export interface KeySeenTable {
  readonly agent: number;
  readonly key_hash: string;
  readonly not_before: number;
  readonly first_seen_at: number;
}

export interface HeartbeatTable {
  readonly agent: number;
  /** `beats` modulo how many are kept: a new one takes the place of the oldest. */
  readonly slot: number;
  readonly at: number;
  readonly outcome: 'ok' | 'missed';
  readonly round_trip_us: number | null;
  readonly clock_offset_ms: number | null;
}

export interface EventTable {
  readonly agent: number;
  readonly seq: number;
  readonly at: number;
  readonly kind: string;
  readonly message: string;
  readonly facts: string;
}

export interface ConfigurationTable {
  readonly version: number;
  readonly content: string;
  readonly hash: string;
  readonly made_at: number;
  readonly made_by: string;
}

export interface JobTable {
  readonly no: number;
  readonly id: string;
  readonly kind: 'operation' | 'configuration';
  readonly subject: string;
  readonly arguments: string;
  readonly concurrency: number;
  readonly deadline_ms: number;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly started_by: string;
}

export interface JobTargetTable {
  readonly job: number;
  readonly agent: number;
  readonly state: 'waiting' | 'running' | 'succeeded' | 'failed' | 'interrupted' | 'unreachable';
  readonly exit_code: number | null;
  readonly output: string;
  /** Counts up when an operator has a failed one tried again: another idempotency key. */
  readonly attempt: number;
}

export interface IdempotencyTable {
  readonly actor: string;
  readonly key: string;
  readonly request: string;
  readonly job: string;
  readonly at: number;
}

export interface AuditTable {
  readonly seq: number;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly details: string;
}
