import { toHex, wipe } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { MintedBundles, MintOrder, TokenMint } from '../administration/mint.ts';
import { crashPoint } from '../crash-points.ts';
import { keepUp } from '../generations/keep-up.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import { choosePolicy, matches, type NamedPolicy, readPolicies } from '../policy/policies.ts';
import type { NewRow } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import { createBundlePress } from './bundle-press.ts';
import { makeEnrolmentCredential, requireIssuer } from './enrolment-credential.ts';
import { type Begun, rememberOrder, type Remembered } from './mint-order.ts';
import { canonicalProperties } from './properties.ts';
import { recoverAgent } from './recovery.ts';

/** Makes tokens and their bundles. */
export function createTokenMint(context: IssuingContext): TokenMint {
  return {
    mint: (order) => mint(context, order),
    recover: (order) => recoverAgent(context, order),
  };
}

/**
 * A batch is written some hundred tokens at a time, so that renewals get their turn in between. Its
 * size, its end and the key that signs it are settled with the first transaction; asked for again,
 * what exists is given out again, with a new credential, since nobody has the private key of the old.
 */
async function* mint(
  context: IssuingContext,
  order: MintOrder,
): AsyncGenerator<MintedBundles, void> {
  const remembered = await context.store.transact((transaction) =>
    begin(context, transaction, order),
  );
  const { batch, expiresAt, policy, keyId } = remembered;
  if (expiresAt <= context.now().getTime()) {
    throw new ServiceError('FAILED_PRECONDITION', 'batch_expired', 'these tokens have expired');
  }
  const key = context.tokenKeys.find(keyId);
  if (key === undefined) {
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'batch_expired',
      'the key of these tokens is no more',
    );
  }
  const credential = await makeEnrolmentCredential(context, batch, expiresAt);
  const pattern = {
    kind: 'enroll',
    role: order.role,
    properties: order.properties,
    expiresAt,
  } as const;
  const signer = await context.tokenKeys.signerOf(key);
  const press = await createBundlePress(context, pattern, credential, { key, signer });
  wipe(credential.privateKey);
  try {
    await context.store.transact(async (transaction) => {
      await keepUp(context);
      requireIssuer(context, credential);
      await transaction.queries.insertInto('certificate').values(credential.row).execute();
      transaction.audit({
        actor: order.caller.name,
        action: 'credential.issue',
        subject: toHex(credential.row.serial),
        outcome: 'done',
        details: { batch: toHex(batch), not_after: new Date(credential.notAfter).toISOString() },
      });
    });
    let created = 0;
    for await (const ids of existing(context, batch)) {
      created += ids.length;
      yield { batch, created, bundles: await press.press(ids) };
    }
    while (created < order.count) {
      const ids = Array.from({ length: Math.min(CHUNK, order.count - created) }, () =>
        Uint8Array.from(context.random(16)),
      );
      // Signed meanwhile, and given out only when they are durable.
      const [bundles] = await Promise.all([
        press.press(ids),
        context.store.transact((transaction) =>
          insertTokens(transaction, order, { batch, expiresAt, policy, keyId }, ids),
        ),
      ]);
      crashPoint('mint.after_chunk');
      created += ids.length;
      yield { batch, created, bundles };
    }
  } finally {
    press.close();
  }
}

/** Settles what is to be minted, or finds what was settled before. */
async function begin(
  context: IssuingContext,
  transaction: Transaction,
  order: MintOrder,
): Promise<Remembered> {
  const policies = await readPolicies(transaction.queries);
  const policy = policyFor(policies, order);
  const longest = policy.policy.tokenSeconds * 1000;
  if (order.lifetimeMs > longest) {
    const days = String(Math.floor(policy.policy.tokenSeconds / 86_400));
    throw invalid('lifetime_out_of_range', `policy ${policy.name} lets tokens last ${days} days`);
  }
  if (!Number.isSafeInteger(order.cap) || order.cap < 1 || order.cap > MAX_CAP) {
    throw invalid('cap_out_of_range', `a token has 1 to ${String(MAX_CAP)} uses`);
  }
  await keepUp(context);
  const fresh: Begun = {
    batch: Uint8Array.from(context.random(16)),
    expiresAt: transaction.now + order.lifetimeMs,
    policy: { name: policy.name, version: policy.version },
    keyId: context.tokenKeys.signing().key.id,
  };
  return await rememberOrder(transaction, order, digestOf(order), fresh);
}

function policyFor(policies: ReadonlyMap<string, NamedPolicy>, order: MintOrder): NamedPolicy {
  if (order.policy === undefined) {
    const chosen = choosePolicy(policies, order.role, order.properties);
    if (chosen !== undefined) return chosen;
    throw invalid('policy_missing', `no policy is for role ${order.role} and these properties`);
  }
  const named = policies.get(order.policy);
  if (named === undefined) throw invalid('policy_unknown', `there is no policy ${order.policy}`);
  if (!matches(named.policy, order.role, order.properties)) {
    throw invalid(
      'policy_unfit',
      `policy ${order.policy} is not for this role and these properties`,
    );
  }
  return named;
}

/** Tokens of a batch that were made before, oldest ids first. */
async function* existing(
  { store }: IssuingContext,
  batch: Uint8Array,
): AsyncGenerator<readonly Uint8Array[], void> {
  let after: Uint8Array = new Uint8Array();
  for (;;) {
    const rows = await store.queries
      .selectFrom('token')
      .select('id')
      .where('batch', '=', batch)
      .where('id', '>', after)
      .orderBy('id')
      .limit(CHUNK)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows.map(({ id }) => id);
    after = last.id;
  }
}

async function insertTokens(
  transaction: Transaction,
  order: MintOrder,
  { batch, expiresAt, policy, keyId }: Begun,
  ids: readonly Uint8Array[],
): Promise<void> {
  const { queries, now } = transaction;
  const properties = canonicalProperties(order.properties);
  const shared = {
    kind: 'enroll',
    key_id: keyId,
    state: 'active',
    cap: order.cap,
    uses: 0,
    expires_at: expiresAt,
    batch,
    role: order.role,
    policy: policy.name,
    policy_version: policy.version,
    properties,
    agent: null,
    generation: null,
    created_at: now,
    created_by: order.caller.name,
    revoked_at: null,
    revoked_by: null,
    revoked_why: null,
  } as const satisfies Omit<NewRow<'token'>, 'id'>;
  const index = Object.entries(order.properties).flatMap(([name, value]) =>
    ids.map((subject) => ({ name, value, subject_kind: 'token' as const, subject })),
  );
  await queries
    .insertInto('token')
    .values(ids.map((id) => ({ id, ...shared })))
    .execute();
  for (let start = 0; start < index.length; start += INDEX_ROWS) {
    await queries
      .insertInto('property')
      .values(index.slice(start, start + INDEX_ROWS))
      .execute();
  }
  crashPoint('mint.after_insert');
  transaction.audit({
    actor: order.caller.name,
    action: 'token.mint',
    subject: toHex(batch),
    outcome: 'done',
    details: {
      count: ids.length,
      cap: order.cap,
      role: order.role,
      policy: `${policy.name}/${String(policy.version)}`,
      expires: new Date(expiresAt).toISOString(),
      source: order.caller.source,
    },
  });
}

function digestOf(order: MintOrder): Uint8Array {
  const { role, properties, lifetimeMs, count, cap, policy = '' } = order;
  const text = JSON.stringify([
    'mint',
    role,
    canonicalProperties(properties),
    lifetimeMs,
    count,
    cap,
    policy,
  ]);
  return hash('sha256', Buffer.from(text, 'utf8'));
}

function invalid(reason: string, message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', reason, message);
}

/** A transaction of some tens of milliseconds. */
const CHUNK = 500;
const INDEX_ROWS = 2000;
const MAX_CAP = 1_000_000;
