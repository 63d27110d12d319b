import type { Migration } from '../../../../database/migration.ts';

/** Agents and what is known of them, jobs, and what administrators did. */
export const fleetTables: Migration = {
  number: 1,
  name: 'fleet',
  statements: [
    `create table counter (name text primary key, value bigint not null)`,
    `create table agent (
      no bigint primary key,
      id text not null unique,
      registered_id text unique,
      spiffe_id text unique,
      name text not null,
      state text not null check (state in
        ('registered', 'pending', 'activating', 'active', 'deactivated', 'quarantined', 'revoked')),
      mode text not null check (mode in ('manager-initiated', 'agent-initiated', 'bidirectional')),
      address text,
      bootstrap_key_hash text,
      instance_id text,
      activation_key text,
      key_hash text,
      key_not_before bigint,
      reason text,
      registered_at bigint not null,
      activated_at bigint,
      activated_by text,
      events_pulled bigint not null,
      desired_version bigint not null,
      desired_hash text not null,
      desired_until bigint not null,
      check (state <> 'active' or spiffe_id is not null)
    )`,
    `create index agent_by_state on agent (state, id)`,
    `create index agent_by_mode on agent (mode, id)`,
    `create index agent_by_desired on agent (desired_version)`,
    `create table agent_label (
      agent bigint not null references agent (no) on delete cascade,
      name text not null, value text not null, primary key (agent, name)
    )`,
    `create index agent_label_by_value on agent_label (name, value, agent)`,
    `create table agent_observed (
      agent bigint primary key references agent (no) on delete cascade,
      last_seen_at bigint, missed bigint not null, beats bigint not null, heartbeat text
    )`,
    `create table key_seen (
      agent bigint not null references agent (no) on delete cascade,
      key_hash text not null, not_before bigint not null, first_seen_at bigint not null,
      primary key (agent, key_hash)
    )`,
    `create table heartbeat (
      agent bigint not null references agent (no) on delete cascade,
      slot bigint not null, at bigint not null,
      outcome text not null check (outcome in ('ok', 'missed')),
      round_trip_us bigint, clock_offset_ms bigint, primary key (agent, slot)
    )`,
    `create table event (
      agent bigint not null references agent (no) on delete cascade,
      seq bigint not null, at bigint not null, kind text not null, message text not null,
      facts text not null, primary key (agent, seq)
    )`,
    `create table configuration (
      version bigint primary key, content text not null, hash text not null,
      made_at bigint not null, made_by text not null
    )`,
    `create table job (
      no bigint primary key, id text not null unique,
      kind text not null check (kind in ('operation', 'configuration')),
      subject text not null, arguments text not null, concurrency bigint not null,
      deadline_ms bigint not null, started_at bigint not null, ended_at bigint,
      started_by text not null
    )`,
    `create table job_target (
      job bigint not null references job (no) on delete cascade,
      agent bigint not null references agent (no) on delete cascade,
      state text not null check (state in
        ('waiting', 'running', 'succeeded', 'failed', 'interrupted', 'unreachable')),
      exit_code bigint, output text not null, attempt bigint not null,
      primary key (job, agent)
    )`,
    `create index job_target_by_state on job_target (job, state)`,
    `create index job_target_by_agent on job_target (agent)`,
    `create table idempotency (
      actor text not null, key text not null, request text not null, job text not null,
      at bigint not null, primary key (actor, key)
    )`,
    `create index idempotency_by_age on idempotency (at)`,
    `create table audit (
      seq bigint primary key, at bigint not null, actor text not null, action text not null,
      subject text not null, details text not null
    )`,
  ],
  guards: [
    { table: 'audit', name: 'kept', event: 'delete', message: 'the audit log is only added to' },
    { table: 'audit', name: 'fixed', event: 'update', message: 'the audit log is only added to' },
  ],
};
