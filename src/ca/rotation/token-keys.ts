import type { KeyObject } from 'node:crypto';
import { toHex } from '../../bytes/bytes.ts';
import { verifySignature } from '../../crypto/signatures.ts';
import { exportPublicKeyInfo } from '../../pki/issue-certificate.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { tokenKeyId } from '../bundle/bundle.ts';
import { crashPoint } from '../crash-points.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { CaState, TokenKeyState } from '../store/schema.ts';
import { CommitUnknownError } from '../store/store.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';
import { countTokens } from './count-leftovers.ts';
import { type GateWindows, readGate } from './gate.ts';
import { unusable } from './make-generations.ts';
import type { Gate, RotationGeneration, RotationRequest } from './rotation.ts';
import { refuseShut, type StepTools } from './take-step.ts';
import { numberKeys, planTokenKeyStep, type TokenKeyPlan } from './token-key-plan.ts';
import { stepsFrom } from './steps.ts';

/** Takes one step of the token keys' rotation, as `Rotation.advance` says. */
export async function takeTokenKeyStep(
  tools: StepTools & { readonly tokenKeys: TokenKeys },
  request: RotationRequest,
): Promise<RotationGeneration> {
  const { context, tokenKeys } = tools;
  const plan = planTokenKeyStep(
    await readKeys(context.store.queries),
    request.step,
    request.number,
  );
  const made = request.step === 'prepare' ? await makeKey(tools) : undefined;
  let retired: readonly StoredKey[];
  let result: RotationGeneration;
  try {
    [result, retired] = await tools.transact(async (transaction) => {
      const answer = await commitStep(tools, transaction, plan, made, request);
      await request.record?.(transaction, answer);
      crashPoint('rotate.before_commit');
      const gone = plan.moves.filter(({ to }) => to === 'retired').map(({ key }) => key);
      return [answer, gone];
    });
  } catch (error) {
    // If the commit may have taken place, the key may be in use.
    if (made !== undefined && !(error instanceof CommitUnknownError)) {
      await context.keys.destroy(made.keyRef);
    }
    throw error;
  }
  crashPoint('rotate.after_commit');
  await tokenKeys.refresh();
  // A retired key verifies nothing any more; one that is left over is destroyed at the next start.
  for (const { keyRef } of retired) await context.keys.destroy(keyRef);
  return result;
}

/** Destroys private keys of retired token keys that a crash has left over. */
export async function destroyRetiredTokenKeys({
  context,
}: Pick<StepTools, 'context'>): Promise<void> {
  for (const key of await readKeys(context.store.queries)) {
    if (key.state === 'retired') await context.keys.destroy(key.keyRef);
  }
}

/** Every token key, and what each step that is possible now waits for. */
export async function readTokenKeyStatus(
  queries: Queries,
  now: number,
  windows: GateWindows,
): Promise<{
  readonly generations: readonly RotationGeneration[];
  readonly gates: readonly Gate[];
}> {
  const keys = await readKeys(queries);
  const generations: RotationGeneration[] = [];
  const gates: Gate[] = [];
  for (const key of keys) {
    generations.push(await describeKey(queries, now, key));
    for (const { step } of stepsFrom('token', key.state)) {
      if (step === 'rollback' && !keys.some(({ state }) => state === 'draining')) continue;
      const plan = planTokenKeyStep(keys, step, key.number);
      gates.push(await gateOf(queries, now, plan, step, windows));
    }
  }
  return { generations, gates };
}

/** Token keys as rotation sees them, oldest first. */
export async function readKeys(queries: Queries): Promise<readonly StoredKey[]> {
  const rows = await queries.selectFrom('token_key').selectAll().orderBy('id').execute();
  return numberKeys(
    rows.map(({ id, key_ref, state, created_at }) => ({
      id,
      keyRef: key_ref,
      state,
      createdAt: created_at,
    })),
  );
}

export interface StoredKey {
  readonly id: Uint8Array;
  readonly number: number;
  readonly state: CaState;
  readonly keyRef: string;
  readonly createdAt: number;
}

interface MadeKey {
  readonly id: Uint8Array;
  readonly publicKeyInfo: Uint8Array;
  readonly keyRef: string;
}

async function makeKey({ context }: StepTools): Promise<MadeKey> {
  try {
    const { ref, publicKey } = await context.keys.generate('ed25519');
    crashPoint('rotate.after_key');
    const key = await context.keys.open(ref);
    const trial = context.random(32);
    const [signature] = await key.signAll([trial]);
    if (!verifies(publicKey, trial, signature)) {
      await context.keys.destroy(ref);
      throw new KeyManagerError('the key manager signs with another key than it made');
    }
    const publicKeyInfo = exportPublicKeyInfo(publicKey);
    return { id: tokenKeyId(publicKeyInfo), publicKeyInfo, keyRef: ref };
  } catch (error) {
    if (!(error instanceof KeyManagerError)) throw error;
    throw unusable(error.message, error);
  }
}

async function commitStep(
  { settings }: StepTools,
  transaction: Transaction,
  plan: TokenKeyPlan<StoredKey>,
  made: MadeKey | undefined,
  request: RotationRequest,
): Promise<RotationGeneration> {
  const { queries, now } = transaction;
  const { step, number, force, caller } = request;
  const again = planTokenKeyStep(await readKeys(queries), step, number);
  if (describePlan(again) !== describePlan(plan)) {
    throw new ServiceError('ABORTED', 'changed_meanwhile', 'another step was taken meanwhile');
  }
  const gate = await gateOf(queries, now, plan, step, settings.windows);
  refuseShut(gate, request);
  for (const { key, to } of plan.moves) await setState(queries, key.id, to, now);
  if (made !== undefined) await insertKey(queries, made, now);
  const about = made?.id ?? plan.subject?.id;
  const result = (await readKeys(queries)).find(({ id }) => {
    return about !== undefined && toHex(id) === toHex(about);
  });
  if (result === undefined) throw new TypeError(`${step} is about no token key`);
  for (const { id, to } of [
    ...plan.moves.map(({ key, to }) => ({ id: key.id, to })),
    ...(made === undefined ? [] : [{ id: made.id, to: 'verifying' }]),
  ]) {
    transaction.audit({
      actor: caller.name,
      action: `rotation.${step}`,
      subject: `token ${toHex(id)}`,
      outcome: 'done',
      details: {
        to,
        ...(plan.gates.length === 0 ? {} : { gate: gate.detail }),
        ...(gate.open || force === undefined ? {} : { forced_why: force.reason }),
      },
    });
  }
  await transaction.publish({ type: 'authority_keys', subject: result.id, payload: { step } });
  return await describeKey(queries, now, result);
}

async function gateOf(
  queries: Queries,
  now: number,
  { subject, moves, gates }: TokenKeyPlan<StoredKey>,
  step: RotationRequest['step'],
  windows: GateWindows,
): Promise<Gate> {
  const about = {
    kind: 'token' as const,
    number: subject?.number ?? 0,
    step,
    gates,
    keys: moves.filter(({ to }) => to === 'signing').map(({ key }) => key.id),
    leaving: moves.filter(({ to }) => to === 'retired').map(({ key }) => key.id),
    bundle: 0,
    publishedAt: 0,
    issuing: 0,
  };
  return await readGate(queries, now, about, windows);
}

async function setState(queries: Queries, id: Uint8Array, state: TokenKeyState, now: number) {
  await queries
    .updateTable('token_key')
    .set({ state, retired_at: state === 'retired' ? now : null })
    .where('id', '=', id)
    .execute();
}

async function insertKey(queries: Queries, made: MadeKey, now: number): Promise<void> {
  const { newest } = await queries
    .selectFrom('token_key')
    .select((each) => each.fn.max<number | null>('created_at').as('newest'))
    .executeTakeFirstOrThrow();
  await queries
    .insertInto('token_key')
    .values({
      id: made.id,
      public_key: made.publicKeyInfo,
      key_ref: made.keyRef,
      state: 'verifying',
      // Keys are told apart by age.
      created_at: Math.max(now, (newest ?? 0) + 1),
      retired_at: null,
    })
    .execute();
}

async function describeKey(
  queries: Queries,
  now: number,
  { id, number, state, createdAt }: StoredKey,
): Promise<RotationGeneration> {
  const { needed } = await countTokens(queries, now, [id]);
  return {
    id,
    kind: 'token',
    number,
    state,
    notBefore: new Date(createdAt),
    notAfter: undefined,
    certificate: new Uint8Array(0),
    live: needed,
  };
}

function verifies(publicKey: KeyObject, trial: Uint8Array, signature: Uint8Array | undefined) {
  const scheme = defaultScheme('ed25519');
  return signature !== undefined && verifySignature(publicKey, scheme, trial, signature);
}

function describePlan({ moves }: TokenKeyPlan): string {
  return JSON.stringify(moves.map(({ key, to }) => [toHex(key.id), key.state, to]));
}
