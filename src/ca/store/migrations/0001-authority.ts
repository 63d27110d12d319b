import type { Guard, Migration } from '../../../database/migration.ts';

const roles = `'authority', 'manager', 'agent', 'service', 'operator'`;

/** Checked at the commit, so that rows can be written in any order. */
const references = (target: string): string => `references ${target} deferrable initially deferred`;

const neverChange = (table: string, columns: readonly string[]): Guard => ({
  table,
  name: 'fixed',
  event: 'update',
  when: columns.map((column) => `new.${column} is distinct from old.${column}`).join(' or '),
  message: `${columns.join(', ')} of ${table} never change`,
});

/** The tables of `schema.ts`. One text for both stores: PostgreSQL first gets a domain called `blob`. */
export const authorityTables: Migration = {
  number: 1,
  name: 'authority',
  statements: [
    `create table meta (
      name text primary key,
      value text not null
    )`,
    `create table counter (
      name text primary key,
      value bigint not null check (value >= 0)
    )`,
    `create table token_key (
      id blob primary key check (length(id) = 8),
      public_key blob not null unique,
      key_ref text not null,
      state text not null check (state in ('signing', 'verifying', 'retired')),
      created_at bigint not null,
      retired_at bigint,
      check ((state = 'retired') = (retired_at is not null))
    )`,
    `create unique index token_key_signing on token_key (state) where state = 'signing'`,
    `create table policy (
      name text not null,
      version bigint not null check (version > 0),
      document text not null,
      created_at bigint not null,
      created_by text not null,
      primary key (name, version)
    )`,
    `create table token (
      id blob primary key check (length(id) = 16),
      kind text not null check (kind in ('enroll', 'renew', 'recover')),
      key_id blob not null ${references('token_key (id)')},
      state text not null check (state in ('active', 'revoked')),
      cap bigint not null check (cap > 0),
      uses bigint not null check (uses >= 0 and uses <= cap),
      expires_at bigint not null,
      batch blob,
      role text not null check (role in (${roles})),
      policy text not null,
      policy_version bigint not null,
      properties text not null,
      agent blob,
      generation bigint check (generation > 0),
      created_at bigint not null,
      created_by text not null,
      revoked_at bigint,
      revoked_by text,
      revoked_why text,
      foreign key (policy, policy_version) ${references('policy (name, version)')},
      check ((state = 'revoked') = (revoked_at is not null)),
      check ((kind = 'enroll') = (agent is null)),
      check ((agent is null) = (generation is null)),
      check (kind = 'enroll' or cap = 1)
    )`,
    // One renewal token for each certificate generation of an agent: the chain cannot fork.
    `create unique index token_renewal on token (agent, generation, kind) where kind = 'renew'`,
    `create index token_agent on token (agent) where agent is not null`,
    `create index token_batch on token (batch) where batch is not null`,
    `create index token_expires_at on token (expires_at)`,
    // Lists, newest first; renewals leave both alone.
    `create index token_minted on token (created_at, id) where kind <> 'renew'`,
    `create table agent (
      id blob primary key check (length(id) = 16),
      role text not null check (role in (${roles})),
      spiffe_id text not null unique,
      state text not null
        check (state in ('enrolled', 'active', 'suspended', 'quarantined', 'banned', 'retired')),
      state_at bigint not null,
      state_by text not null,
      state_why text,
      properties text not null,
      policy text not null,
      policy_version bigint not null,
      generation bigint not null check (generation > 0),
      current_serial blob not null,
      pending_serial blob,
      not_after bigint not null,
      source_token blob not null ${references('token (id)')},
      enrolled_at bigint not null,
      activated_at bigint,
      activated_by text,
      last_seen_at bigint not null,
      bundle_ack bigint not null,
      feed_ack bigint not null,
      tls_policy_ack bigint not null,
      report text,
      foreign key (policy, policy_version) ${references('policy (name, version)')}
    )`,
    `create index agent_state on agent (state)`,
    `create index agent_not_after on agent (not_after)`,
    `create index agent_enrolled_at on agent (enrolled_at, id)`,
    `create index agent_source_token on agent (source_token)`,
    `create table property (
      name text not null,
      value text not null,
      subject_kind text not null check (subject_kind in ('agent', 'token')),
      subject blob not null,
      primary key (subject, subject_kind, name)
    )`,
    `create index property_value on property (subject_kind, name, value, subject)`,
    `create table ca_generation (
      id blob primary key check (length(id) = 16),
      kind text not null check (kind in ('root', 'issuing', 'enrolment')),
      number bigint not null check (number > 0),
      parent blob ${references('ca_generation (id)')},
      key_ref text not null,
      key_identifier blob not null,
      certificate blob not null,
      cross_certificate blob,
      old_with_new blob,
      state text not null check (state in
        ('prepared', 'published', 'signing', 'draining', 'retired', 'destroyed', 'aborted', 'tainted')),
      state_version bigint not null check (state_version > 0),
      published_in bigint,
      not_before bigint not null,
      not_after bigint not null,
      created_at bigint not null,
      unique (kind, number),
      check (not_before < not_after),
      check (kind <> 'issuing' or parent is not null)
    )`,
    // At any moment one generation of a kind signs.
    `create unique index ca_generation_signing on ca_generation (kind) where state = 'signing'`,
    `create table ca_transition (
      generation blob not null ${references('ca_generation (id)')},
      state_version bigint not null,
      from_state text,
      to_state text not null,
      at bigint not null,
      "by" text not null,
      forced_why text,
      gate text,
      primary key (generation, state_version)
    )`,
    `create table certificate (
      serial blob primary key check (length(serial) = 16),
      issuer blob not null ${references('ca_generation (id)')},
      agent blob ${references('agent (id)')},
      agent_generation bigint,
      role text check (role in (${roles})),
      purpose text not null check (purpose in ('tls', 'decryption', 'authority', 'enrolment')),
      state text not null
        check (state in ('reserved', 'issued', 'confirmed', 'superseded', 'void')),
      key_hash blob not null check (length(key_hash) = 32),
      not_before bigint not null,
      not_after bigint not null,
      der blob,
      token blob ${references('token (id)')},
      policy text,
      policy_version bigint,
      replaces blob,
      issued_at bigint not null,
      confirmed_at bigint,
      request blob not null,
      check (not_before < not_after),
      check ((der is null) = (state in ('reserved', 'void'))),
      check ((agent is null) = (agent_generation is null))
    )`,
    // The generations of an agent's certificates have no forks: one of a purpose for each.
    `create unique index certificate_agent on certificate (agent, agent_generation, purpose)
      where agent is not null and state <> 'void'`,
    `create index certificate_issuer on certificate (issuer, not_after)`,
    `create index certificate_not_after on certificate (not_after)`,
    `create index certificate_token on certificate (token) where token is not null`,
    `create index certificate_request on certificate (request)`,
    `create index certificate_reserved on certificate (issued_at) where state = 'reserved'`,
    `create table redemption (
      token blob not null ${references('token (id)')},
      key_hash blob not null check (length(key_hash) = 32),
      slot bigint not null check (slot >= 0),
      agent blob not null ${references('agent (id)')},
      serial blob not null ${references('certificate (serial)')},
      at bigint not null,
      source text not null,
      primary key (token, key_hash),
      unique (token, slot)
    )`,
    `create index redemption_agent on redemption (agent)`,
    `create table bundle (
      seq bigint primary key check (seq > 0),
      document blob not null,
      created_at bigint not null
    )`,
    `create table revocation (
      kind text not null check (kind in ('certificate', 'agent', 'token', 'batch', 'generation')),
      subject blob not null,
      reason text not null,
      at bigint not null,
      "by" text not null,
      feed_seq bigint not null,
      issuer blob ${references('ca_generation (id)')},
      not_after bigint,
      primary key (kind, subject),
      check ((kind = 'certificate') = (issuer is not null)),
      check (kind <> 'certificate' or not_after is not null)
    )`,
    `create index revocation_feed_seq on revocation (feed_seq)`,
    // For complete CRLs, read page by page, and for deltas.
    `create index revocation_issuer on revocation (issuer, not_after, subject)
      where issuer is not null`,
    `create index revocation_issuer_feed_seq on revocation (issuer, feed_seq)
      where issuer is not null`,
    `create table crl (
      issuer blob not null ${references('ca_generation (id)')},
      number bigint not null check (number > 0),
      base_number bigint check (base_number < number),
      this_update bigint not null,
      next_update bigint not null,
      feed_seq bigint not null,
      der blob not null,
      primary key (issuer, number),
      check (this_update < next_update)
    )`,
    `create table feed (
      seq bigint primary key check (seq > 0),
      type text not null,
      subject blob not null,
      payload text not null,
      at bigint not null
    )`,
    `create table campaign (
      id blob primary key check (length(id) = 16),
      issuer blob not null ${references('ca_generation (id)')},
      started_at bigint not null,
      window_ms bigint not null check (window_ms >= 0),
      total bigint not null,
      finished_at bigint,
      why text not null
    )`,
    `create index campaign_open on campaign (issuer) where finished_at is null`,
    `create table tls_policy (
      version bigint not null check (version > 0),
      listener text not null,
      min_version text not null,
      at bigint not null,
      "by" text not null,
      forced_why text,
      primary key (version, listener)
    )`,
    `create table audit (
      seq bigint primary key check (seq > 0),
      at bigint not null,
      actor text not null,
      action text not null,
      subject text not null,
      outcome text not null check (outcome in ('done', 'refused')),
      request text not null,
      details text not null,
      previous_hash blob not null unique check (length(previous_hash) = 32),
      hash blob not null check (length(hash) = 32)
    )`,
    `create index audit_subject on audit (subject, seq)`,
    `create table idempotency (
      caller text not null,
      key text not null,
      request_digest blob not null check (length(request_digest) = 32),
      outcome text not null,
      expires_at bigint not null,
      primary key (caller, key)
    )`,
    `create index idempotency_expires_at on idempotency (expires_at)`,
    `create table lease (
      name text primary key,
      holder text not null,
      until bigint not null,
      fence bigint not null check (fence > 0)
    )`,
    `create table replica (
      id text primary key,
      version text not null,
      started_at bigint not null,
      heartbeat_at bigint not null,
      issuing_generation bigint not null,
      usable_keys text not null,
      clock_offset_ms bigint not null,
      feed_seq bigint not null
    )`,
    // `write` is locked by every transaction and never changes; `clock` is the last one's moment.
    `insert into counter (name, value) values
      ('write', 0), ('clock', 0), ('audit', 0), ('feed', 0), ('bundle', 0)`,
  ],
  guards: [
    neverChange('policy', ['name', 'version', 'document', 'created_at', 'created_by']),
    neverChange('token', [
      'id',
      'kind',
      'key_id',
      'cap',
      'expires_at',
      'batch',
      'role',
      'properties',
      'agent',
      'generation',
      'created_at',
    ]),
    {
      table: 'token',
      name: 'uses',
      event: 'update',
      when: 'new.uses < old.uses',
      message: 'a use of a token cannot be taken back',
    },
    {
      table: 'token',
      name: 'revoked',
      event: 'update',
      when: `old.state = 'revoked' and new.state <> 'revoked'`,
      message: 'a revoked token stays revoked',
    },
    neverChange('redemption', ['token', 'key_hash', 'slot', 'agent', 'serial', 'at']),
    neverChange('agent', ['id', 'role', 'spiffe_id', 'source_token', 'enrolled_at']),
    {
      table: 'agent',
      name: 'generation',
      event: 'update',
      when: 'new.generation < old.generation',
      message: 'generations of an agent only grow',
    },
    neverChange('certificate', [
      'serial',
      'issuer',
      'agent',
      'agent_generation',
      'role',
      'purpose',
      'key_hash',
      'not_before',
      'not_after',
      'token',
      'replaces',
      'request',
    ]),
    {
      table: 'certificate',
      name: 'der',
      event: 'update',
      when: 'old.der is not null and new.der is distinct from old.der',
      message: 'a certificate is written once',
    },
    neverChange('ca_generation', ['id', 'kind', 'number', 'parent', 'certificate']),
    {
      table: 'ca_generation',
      name: 'state_version',
      event: 'update',
      when: 'new.state <> old.state and new.state_version <> old.state_version + 1',
      message: 'a change of state counts one',
    },
    ...['ca_transition', 'bundle', 'revocation', 'audit', 'crl', 'feed'].map((table) => ({
      table,
      name: 'written',
      event: 'update' as const,
      message: `rows of ${table} never change`,
    })),
    ...[
      'policy',
      'token',
      'redemption',
      'agent',
      'ca_generation',
      'ca_transition',
      'bundle',
      'revocation',
      'audit',
    ].map((table) => ({
      table,
      name: 'kept',
      event: 'delete' as const,
      message: `rows of ${table} are kept`,
    })),
  ],
};
