import type { Insertable, Selectable } from 'kysely';

/**
 * The tables of an authority, the same on SQLite and PostgreSQL (`migrations/`). Ids are 16 bytes,
 * moments are milliseconds since 1970 by the authority's own clock, JSON is text. A store belongs to
 * one trust domain.
 */
export interface Schema {
  readonly meta: MetaTable;
  readonly counter: CounterTable;
  readonly token_key: TokenKeyTable;
  readonly policy: PolicyTable;
  readonly token: TokenTable;
  readonly redemption: RedemptionTable;
  readonly agent: AgentTable;
  readonly property: PropertyTable;
  readonly certificate: CertificateTable;
  readonly ca_generation: CaGenerationTable;
  readonly ca_transition: CaTransitionTable;
  readonly bundle: BundleTable;
  readonly revocation: RevocationTable;
  readonly crl: CrlTable;
  readonly feed: FeedTable;
  readonly campaign: CampaignTable;
  readonly tls_policy: TlsPolicyTable;
  readonly audit: AuditTable;
  readonly idempotency: IdempotencyTable;
  readonly lease: LeaseTable;
  readonly replica: ReplicaTable;
}

export type Row<Table extends keyof Schema> = Selectable<Schema[Table]>;
export type NewRow<Table extends keyof Schema> = Insertable<Schema[Table]>;

/**
 * Single values: `schema_version` (text), `epoch` (8 hex digits), `trust_domain`, `created_at`,
 * `ticket_keys_not_before` (ms, once ordered).
 */
export interface MetaTable {
  name: string;
  value: string;
}

/** Sequences without gaps: each is locked once per transaction (`feed`, `audit`, `bundle`, `crl/…`). */
export interface CounterTable {
  name: string;
  value: number;
}

export type TokenKeyState = 'signing' | 'verifying' | 'retired';

/** Ed25519 keys that sign tokens; never a CA key. */
export interface TokenKeyTable {
  /** 8 bytes. */
  id: Uint8Array;
  /** DER SubjectPublicKeyInfo. */
  public_key: Uint8Array;
  /** Reference into the key manager. */
  key_ref: string;
  state: TokenKeyState;
  created_at: number;
  retired_at: number | null;
}

/** Issuance policies; a version is never edited. */
export interface PolicyTable {
  name: string;
  version: number;
  /** JSON of `IssuancePolicy`. */
  document: string;
  created_at: number;
  created_by: string;
}

export type TokenKind = 'enroll' | 'renew' | 'recover';
export type TokenState = 'active' | 'revoked';

/** `spent` is `uses = cap` and `expired` is a predicate on time: neither is ever written as a state. */
export interface TokenTable {
  id: Uint8Array;
  kind: TokenKind;
  key_id: Uint8Array;
  state: TokenState;
  cap: number;
  uses: number;
  expires_at: number;
  /** Tokens minted together. */
  batch: Uint8Array | null;
  /** What it enrols; for `renew` and `recover` what its agent is. */
  role: Role;
  policy: string;
  policy_version: number;
  /** JSON map of strings. */
  properties: string;
  /** Of `renew` and `recover`: whose, and in place of which certificate generation of that agent. */
  agent: Uint8Array | null;
  generation: number | null;
  created_at: number;
  created_by: string;
  revoked_at: number | null;
  revoked_by: string | null;
  revoked_why: string | null;
}

/** One use of a token by one key. Unique: (token, key_hash) and (token, slot). */
export interface RedemptionTable {
  token: Uint8Array;
  /** SHA-256 over the DER SubjectPublicKeyInfo of the TLS key asked for. */
  key_hash: Uint8Array;
  /** 0 … cap - 1. */
  slot: number;
  agent: Uint8Array;
  /** The TLS certificate it answered with; the others of the answer have the same `request`. */
  serial: Uint8Array;
  at: number;
  source: string;
}

export type Role = 'authority' | 'manager' | 'agent' | 'service' | 'operator';
export type AgentState = 'enrolled' | 'active' | 'suspended' | 'quarantined' | 'banned' | 'retired';

/** Every enrolled host or program, whatever its role. */
export interface AgentTable {
  id: Uint8Array;
  /** Never changes, as the id and the name. */
  role: Role;
  spiffe_id: string;
  state: AgentState;
  state_at: number;
  state_by: string;
  state_why: string | null;
  /** JSON map of strings, from the token. */
  properties: string;
  policy: string;
  policy_version: number;
  /** Counts its certificates: 1 at enrolment, one more with each renewal. */
  generation: number;
  /** TLS certificate in use, as far as is known. */
  current_serial: Uint8Array;
  /** Issued, not yet seen in use. */
  pending_serial: Uint8Array | null;
  /** End of the newest certificate. */
  not_after: number;
  source_token: Uint8Array;
  enrolled_at: number;
  activated_at: number | null;
  activated_by: string | null;
  last_seen_at: number;
  bundle_ack: number;
  feed_ack: number;
  tls_policy_ack: number;
  /** JSON of the host's last report: version, listeners with their floors, clock offset. */
  report: string | null;
}

/** For search by property without JSON operators. */
export interface PropertyTable {
  name: string;
  value: string;
  subject_kind: 'agent' | 'token';
  subject: Uint8Array;
}

export type CertificatePurpose = 'tls' | 'decryption' | 'authority' | 'enrolment';
export type CertificateState = 'reserved' | 'issued' | 'confirmed' | 'superseded' | 'void';

/** Revocation stands in `revocation`; expiry is computed. */
export interface CertificateTable {
  serial: Uint8Array;
  /** Of the `ca_generation` that signed it. */
  issuer: Uint8Array;
  /** Absent: the authority's own, and the enrol-only credentials of bundles. */
  agent: Uint8Array | null;
  agent_generation: number | null;
  role: Role | null;
  purpose: CertificatePurpose;
  state: CertificateState;
  key_hash: Uint8Array;
  not_before: number;
  not_after: number;
  /** Absent while reserved. Written once. */
  der: Uint8Array | null;
  token: Uint8Array | null;
  policy: string | null;
  policy_version: number | null;
  /** Serial of its predecessor. */
  replaces: Uint8Array | null;
  issued_at: number;
  confirmed_at: number | null;
  /** Ties together what one answer held. */
  request: Uint8Array;
}

/**
 * `enrolment` signs the enrol-only client credentials of bundles and nothing else; it is in no trust
 * bundle.
 */
export type CaKind = 'root' | 'issuing' | 'enrolment';
export type CaState =
  | 'prepared'
  | 'published'
  | 'signing'
  | 'draining'
  | 'retired'
  | 'destroyed'
  | 'aborted'
  | 'tainted';

export interface CaGenerationTable {
  id: Uint8Array;
  kind: CaKind;
  /** Counts the generations of a kind, from 1. */
  number: number;
  /** Of an issuing CA: the root that signed it. */
  parent: Uint8Array | null;
  key_ref: string;
  /** SHA-1-sized key identifier as in its certificate. */
  key_identifier: Uint8Array;
  certificate: Uint8Array;
  /** Of a root: its key certified by the root before it (RFC 4210 §4.4 "newWithOld"). */
  cross_certificate: Uint8Array | null;
  /** Of a root: the root before it certified by this key ("oldWithNew"). */
  old_with_new: Uint8Array | null;
  state: CaState;
  /** Counts transitions. */
  state_version: number;
  /** Number of the first trust bundle that has it; null: none yet, or of a kind that is in none. */
  published_in: number | null;
  not_before: number;
  not_after: number;
  created_at: number;
}

/** Every change of a generation's state, for good. */
export interface CaTransitionTable {
  generation: Uint8Array;
  state_version: number;
  from_state: CaState | null;
  to_state: CaState;
  at: number;
  by: string;
  /** Why a gate was overridden. */
  forced_why: string | null;
  /** JSON: what the gate counted. */
  gate: string | null;
}

/** Versions of the trust bundle. */
export interface BundleTable {
  seq: number;
  /** The signed encoding, as hosts get it. */
  document: Uint8Array;
  created_at: number;
}

export type RevocationKind = 'certificate' | 'agent' | 'token' | 'batch' | 'generation';

/** Insert only. The subject is a serial or an id. */
export interface RevocationTable {
  kind: RevocationKind;
  subject: Uint8Array;
  reason: string;
  at: number;
  by: string;
  /**
   * The feed entry that says it; the certificates of a revoked agent share the agent's. 0 for tokens
   * and batches, which hosts need not hear of.
   */
  feed_seq: number;
  /** Of kind `certificate`: which CA's CRL lists it; null otherwise. */
  issuer: Uint8Array | null;
  /** When the certificate, or the last certificate of the agent, ends anyway; null otherwise. */
  not_after: number | null;
}

export interface CrlTable {
  issuer: Uint8Array;
  number: number;
  /** Of a delta: number of the complete CRL it adds to; null for a complete one. */
  base_number: number | null;
  this_update: number;
  next_update: number;
  /** Every revocation up to here is in it. */
  feed_seq: number;
  der: Uint8Array;
}

/**
 * `authority_keys` is for replicas alone: a generation or token key has changed its state, and what
 * they sign with and accept has to be read again. `agent_state` is for the replica that agent is
 * connected to, which tells that agent only.
 */
export type FeedType =
  | 'certificate_revoked'
  | 'agent_revoked'
  | 'agent_state'
  | 'bundle'
  | 'campaign'
  | 'ticket_keys'
  | 'authority_keys'
  | 'tls_policy';

/** What hosts follow. No gaps, in the order of commits. */
export interface FeedTable {
  seq: number;
  type: FeedType;
  subject: Uint8Array;
  /** JSON, small. */
  payload: string;
  at: number;
}

/** A reissue of everything below the CA generation `issuer`, spread over a window. */
export interface CampaignTable {
  id: Uint8Array;
  issuer: Uint8Array;
  started_at: number;
  window_ms: number;
  /** Certificates to be replaced, when it began. */
  total: number;
  finished_at: number | null;
  why: string;
}

/** The floor of TLS versions; the newest row of a listener name holds, '' is everywhere. */
export interface TlsPolicyTable {
  version: number;
  listener: string;
  min_version: string;
  at: number;
  by: string;
  forced_why: string | null;
}

/** A chain of hashes: `hash` covers `previous_hash` and every other column. */
export interface AuditTable {
  seq: number;
  at: number;
  actor: string;
  action: string;
  subject: string;
  outcome: 'done' | 'refused';
  /** Hex. */
  request: string;
  /** JSON, never a secret. */
  details: string;
  previous_hash: Uint8Array;
  hash: Uint8Array;
}

/** Of administrative calls. */
export interface IdempotencyTable {
  caller: string;
  key: string;
  request_digest: Uint8Array;
  /** JSON. */
  outcome: string;
  expires_at: number;
}

export interface LeaseTable {
  name: string;
  holder: string;
  until: number;
  /** Counts holders: a write under a lease states the number it was given. */
  fence: number;
}

export interface ReplicaTable {
  id: string;
  version: string;
  started_at: number;
  heartbeat_at: number;
  /** Number of the issuing CA it signs with. */
  issuing_generation: number;
  /** JSON list of hex ids: CA generations and token keys whose private keys it has tried and can use. */
  usable_keys: string;
  /** How far its clock is behind the furthest of all replicas, ms; 0 or less. */
  clock_offset_ms: number;
  feed_seq: number;
}
