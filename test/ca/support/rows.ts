import { createHash, randomBytes } from 'node:crypto';
import type { NewRow } from '../../../src/ca/store/schema.ts';
import type { Transaction } from '../../../src/ca/store/transaction.ts';

// Rows of a small authority, written as its operations write them, but with made-up certificates.

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

export const id = (): Uint8Array => new Uint8Array(randomBytes(16));
export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(bytes).digest());

export interface SeededAuthority {
  readonly root: Uint8Array;
  readonly issuing: Uint8Array;
  readonly tokenKey: Uint8Array;
  /** First four bytes of serial numbers. */
  readonly epoch: Uint8Array;
}

/** A root and an issuing CA that sign, in bundle 1; a token key; the policy `default`, version 1. */
export async function seedAuthority(transaction: Transaction): Promise<SeededAuthority> {
  const { queries, now } = transaction;
  const { value: epoch } = await queries
    .selectFrom('meta')
    .select('value')
    .where('name', '=', 'epoch')
    .executeTakeFirstOrThrow();
  const root = id();
  const issuing = id();
  const tokenKey = new Uint8Array(randomBytes(8));
  const bundle = await transaction.next('bundle');
  await queries
    .insertInto('ca_generation')
    .values([
      generation(root, 'root', null, now, 10 * 365 * dayMs, bundle),
      generation(issuing, 'issuing', root, now, 90 * dayMs, null),
    ])
    .execute();
  await queries
    .insertInto('ca_transition')
    .values([...transitions(root, now), ...transitions(issuing, now)])
    .execute();
  await queries
    .insertInto('bundle')
    .values({ seq: bundle, document: randomBytes(64), created_at: now })
    .execute();
  await transaction.publish({ type: 'bundle', subject: root, payload: { seq: bundle } });
  await queries
    .insertInto('token_key')
    .values({
      id: tokenKey,
      public_key: randomBytes(44),
      key_ref: 'disk:token',
      state: 'signing',
      created_at: now,
      retired_at: null,
    })
    .execute();
  await queries
    .insertInto('policy')
    .values({ name: 'default', version: 1, document: '{}', created_at: now, created_by: 'owner' })
    .execute();
  transaction.audit({ actor: 'owner', action: 'init', subject: 'example.org', outcome: 'done' });
  return { root, issuing, tokenKey, epoch: new Uint8Array(Buffer.from(epoch, 'hex')) };
}

export function token(authority: SeededAuthority, now: number): NewRow<'token'> {
  return {
    id: id(),
    kind: 'enroll',
    key_id: authority.tokenKey,
    state: 'active',
    cap: 1,
    uses: 0,
    expires_at: now + dayMs,
    batch: null,
    role: 'agent',
    policy: 'default',
    policy_version: 1,
    properties: '{}',
    agent: null,
    generation: null,
    created_at: now,
    created_by: 'owner',
    revoked_at: null,
    revoked_by: null,
    revoked_why: null,
  };
}

/** What one enrolment writes. */
export interface EnrolmentRows {
  readonly agent: NewRow<'agent'>;
  readonly certificate: NewRow<'certificate'>;
  readonly redemption: NewRow<'redemption'>;
  readonly renewal: NewRow<'token'>;
}

export function enrolment(
  authority: SeededAuthority,
  source: Pick<NewRow<'token'>, 'id'>,
  now: number,
): EnrolmentRows {
  const agent = id();
  const serial = Uint8Array.from([...authority.epoch, ...randomBytes(12)]);
  const keyHash = new Uint8Array(randomBytes(32));
  return {
    agent: {
      id: agent,
      role: 'agent',
      spiffe_id: `spiffe://example.org/agent/${Buffer.from(agent).toString('hex')}`,
      state: 'active',
      state_at: now,
      state_by: 'policy',
      state_why: null,
      properties: '{}',
      policy: 'default',
      policy_version: 1,
      generation: 1,
      current_serial: serial,
      pending_serial: null,
      not_after: now + dayMs,
      source_token: source.id,
      enrolled_at: now,
      activated_at: now,
      activated_by: 'policy',
      last_seen_at: now,
      bundle_ack: 0,
      feed_ack: 0,
      tls_policy_ack: 0,
      report: null,
    },
    certificate: {
      serial,
      issuer: authority.issuing,
      agent,
      agent_generation: 1,
      role: 'agent',
      purpose: 'tls',
      state: 'issued',
      key_hash: keyHash,
      not_before: now - 300_000,
      not_after: now + dayMs,
      der: randomBytes(700),
      token: source.id,
      policy: 'default',
      policy_version: 1,
      replaces: null,
      issued_at: now,
      confirmed_at: null,
      request: id(),
    },
    redemption: {
      token: source.id,
      key_hash: keyHash,
      slot: 0,
      agent,
      serial,
      at: now,
      source: '127.0.0.1',
    },
    renewal: {
      ...token(authority, now),
      kind: 'renew',
      expires_at: now + 8 * dayMs,
      agent,
      generation: 1,
    },
  };
}

/** Writes enrolments of minted tokens, as one batch does, with an audit row each. */
export async function writeEnrolments(
  transaction: Transaction,
  authority: SeededAuthority,
  tokens: readonly Pick<NewRow<'token'>, 'id'>[],
): Promise<readonly EnrolmentRows[]> {
  const { queries, now } = transaction;
  const rows = tokens.map((source) => enrolment(authority, source, now));
  await Promise.all([
    queries
      .updateTable('token')
      .set((row) => ({ uses: row('uses', '+', 1) }))
      .where(
        'id',
        'in',
        tokens.map((source) => source.id),
      )
      .execute(),
    queries
      .insertInto('agent')
      .values(rows.map(({ agent }) => agent))
      .execute(),
    queries
      .insertInto('certificate')
      .values(rows.map(({ certificate }) => certificate))
      .execute(),
    queries
      .insertInto('redemption')
      .values(rows.map(({ redemption }) => redemption))
      .execute(),
    queries
      .insertInto('token')
      .values(rows.map(({ renewal }) => renewal))
      .execute(),
  ]);
  for (const { agent } of rows) {
    transaction.audit({
      actor: 'bundle:test',
      action: 'agent.enroll',
      subject: agent.spiffe_id,
      outcome: 'done',
    });
  }
  return rows;
}

function generation(
  generationId: Uint8Array,
  kind: 'root' | 'issuing',
  parent: Uint8Array | null,
  now: number,
  lifetimeMs: number,
  publishedIn: number | null,
): NewRow<'ca_generation'> {
  return {
    id: generationId,
    kind,
    number: 1,
    parent,
    key_ref: `disk:${kind}`,
    key_identifier: randomBytes(20),
    certificate: randomBytes(400),
    cross_certificate: null,
    old_with_new: null,
    state: 'signing',
    state_version: 3,
    published_in: publishedIn,
    not_before: now - hourMs,
    not_after: now + lifetimeMs,
    created_at: now,
  };
}

function transitions(generationId: Uint8Array, now: number): readonly NewRow<'ca_transition'>[] {
  const states = [null, 'prepared', 'published', 'signing'] as const;
  return [1, 2, 3].map((version) => ({
    generation: generationId,
    state_version: version,
    from_state: states[version - 1] ?? null,
    to_state: states[version] ?? 'signing',
    at: now,
    by: 'owner',
    forced_why: null,
    gate: null,
  }));
}
