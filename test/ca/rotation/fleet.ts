import { randomBytes } from 'node:crypto';
import type { AgentState } from '../../../src/ca/store/schema.ts';
import type { Transaction } from '../../../src/ca/store/transaction.ts';
import { issueLeaf, LEAF_MS, type TestAuthority } from './authority.ts';

/** A host as far as rotation sees it. */
export interface Host {
  readonly id: Uint8Array;
  readonly name: string;
  readonly issuer: Uint8Array;
  readonly serial: Uint8Array;
  readonly chain: readonly Uint8Array[];
  readonly generation: number;
}

/** Writes a host with a confirmed certificate, as enrolment would. */
export async function enrolHost(
  authority: TestAuthority,
  name: string,
  options: { readonly bundleAck?: number; readonly state?: AgentState } = {},
): Promise<Host> {
  const { context } = authority;
  const issuer = context.generations.signing('issuing');
  const { serial, chain } = await issueLeaf(authority, name);
  const id = randomBytes(16);
  const host = { id, name, issuer: issuer.id, serial, chain, generation: 1 };
  await context.store.transact(async (transaction) => {
    const token = await writeToken(authority, transaction, { uses: 1 });
    const { now } = transaction;
    await transaction.queries
      .insertInto('agent')
      .values({
        id,
        role: 'agent',
        spiffe_id: `spiffe://example.org/agent/${name}`,
        state: options.state ?? 'active',
        state_at: now,
        state_by: 'owner',
        state_why: null,
        properties: '{}',
        policy: 'default',
        policy_version: 1,
        generation: 1,
        current_serial: serial,
        pending_serial: null,
        not_after: now + LEAF_MS,
        source_token: token,
        enrolled_at: now,
        activated_at: null,
        activated_by: null,
        last_seen_at: now,
        bundle_ack: options.bundleAck ?? 0,
        feed_ack: 0,
        tls_policy_ack: 0,
        report: null,
      })
      .execute();
    await writeCertificate(transaction, host);
  });
  return host;
}

/** Gives a host a certificate of the CA in charge and has it seen in use. */
export async function renewHost(authority: TestAuthority, host: Host): Promise<Host> {
  const { context } = authority;
  const issuer = context.generations.signing('issuing');
  const { serial, chain } = await issueLeaf(authority, host.name);
  const renewed = { ...host, issuer: issuer.id, serial, chain, generation: host.generation + 1 };
  await context.store.transact(async (transaction) => {
    const { queries, now } = transaction;
    await queries
      .updateTable('certificate')
      .set({ state: 'superseded' })
      .where('serial', '=', host.serial)
      .execute();
    await queries
      .updateTable('agent')
      .set({
        current_serial: serial,
        generation: renewed.generation,
        not_after: now + LEAF_MS,
        last_seen_at: now,
      })
      .where('id', '=', host.id)
      .execute();
    await writeCertificate(transaction, renewed);
  });
  return renewed;
}

/** A host says which trust bundle it has. */
export async function acknowledge(
  { context }: TestAuthority,
  hosts: readonly Host[],
  bundle: number,
): Promise<void> {
  await context.store.transact(async ({ queries, now }) => {
    await queries
      .updateTable('agent')
      .set({ bundle_ack: bundle, last_seen_at: now })
      .where(
        'id',
        'in',
        hosts.map(({ id }) => id),
      )
      .execute();
  });
}

/** Number of the newest trust bundle. */
export async function newestBundle({ context }: TestAuthority): Promise<number> {
  const { newest } = await context.store.queries
    .selectFrom('bundle')
    .select((each) => each.fn.max<number>('seq').as('newest'))
    .executeTakeFirstOrThrow();
  return newest;
}

/** A token in the store; usable unless it says otherwise. */
export async function mintToken(authority: TestAuthority): Promise<Uint8Array> {
  return await authority.context.store.transact((transaction) =>
    writeToken(authority, transaction, { uses: 0 }),
  );
}

async function writeToken(
  { tokenKeys }: TestAuthority,
  { queries, now }: Transaction,
  { uses }: { readonly uses: number },
): Promise<Uint8Array> {
  const id = randomBytes(16);
  const key = tokenKeys.all().find(({ state }) => state === 'signing')!;
  await queries
    .insertInto('token')
    .values({
      id,
      kind: 'enroll',
      key_id: key.id,
      state: 'active',
      cap: 1,
      uses,
      expires_at: now + LEAF_MS,
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
    })
    .execute();
  return id;
}

async function writeCertificate({ queries, now }: Transaction, host: Host): Promise<void> {
  await queries
    .insertInto('certificate')
    .values({
      serial: host.serial,
      issuer: host.issuer,
      agent: host.id,
      agent_generation: host.generation,
      role: 'agent',
      purpose: 'tls',
      state: 'confirmed',
      key_hash: randomBytes(32),
      not_before: now - 60_000,
      not_after: now + LEAF_MS,
      der: host.chain[0]!,
      token: null,
      policy: 'default',
      policy_version: 1,
      replaces: null,
      issued_at: now,
      confirmed_at: now,
      request: randomBytes(16),
    })
    .execute();
}
