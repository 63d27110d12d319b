import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import { readGenerations } from '../generations/read-generations.ts';
import type { Generation } from '../generations/generation.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { CaKind } from '../store/schema.ts';
import { CommitUnknownError, type Store } from '../store/store.ts';
import type { Transaction } from '../store/transaction.ts';
import { currentBundle } from '../trust/bundle-document.ts';
import { gatherBundle } from '../trust/bundle-material.ts';
import { publishBundle } from '../trust/publish-bundle.ts';
import { finishCampaigns, startCampaign } from './campaigns.ts';
import { gateSubject } from './gate-subject.ts';
import { readGate } from './gate.ts';
import {
  discard,
  type MadeGeneration,
  makeGenerations,
  tryKey,
  unusable,
} from './make-generations.ts';
import { describeGeneration, type Plan, planStep } from './plan.ts';
import type { Gate, RotationGeneration, RotationRequest } from './rotation.ts';
import type { RotationSettings } from './settings.ts';
import { describeCa } from './status.ts';
import { writeTransitions } from './transitions.ts';

/** What steps work with. */
export interface StepTools {
  readonly context: AuthorityContext;
  readonly settings: RotationSettings;
  /** `Store.transact`, or that of a lease. */
  readonly transact: Store['transact'];
}

/** Takes one step of a CA's rotation, as `Rotation.advance` says. */
export async function takeStep(
  tools: StepTools,
  request: RotationRequest & { readonly kind: CaKind },
): Promise<RotationGeneration> {
  const { context, settings } = tools;
  const before = await readGenerations(context.store.queries);
  const plan = planStep(before, request.kind, request.step, request.number);
  await refuseBeforehand(context, plan, request);
  const made = await makeGenerations(context, settings, plan);
  if (request.step === 'destroy') await destroyKeys(tools, plan, request);
  try {
    const result = await tools.transact(async (transaction) => {
      const answer = await commitStep(tools, transaction, plan, made, request);
      await request.record?.(transaction, answer);
      crashPoint('rotate.before_commit');
      return answer;
    });
    crashPoint('rotate.after_commit');
    await context.generations.refresh();
    return result;
  } catch (error) {
    // If the commit may have taken place, the keys may be in use.
    if (!(error instanceof CommitUnknownError)) await discard(context, made);
    throw error;
  }
}

/** What no reason can force. */
async function refuseBeforehand(
  context: AuthorityContext,
  plan: Plan<Generation>,
  request: RotationRequest,
): Promise<void> {
  if (request.step === 'taint' && request.force === undefined) {
    throw new ServiceError('INVALID_ARGUMENT', 'reason_missing', 'taint needs a reason');
  }
  for (const { generation, to } of plan.moves) {
    if (to !== 'signing') continue;
    const name = describeGeneration(generation);
    const { notAfter } = generation.certificate;
    if (notAfter <= context.now()) {
      throw unusable(`${name} has ended: ${notAfter.toISOString()}`);
    }
    try {
      await tryKey(context, generation);
    } catch (error) {
      if (!(error instanceof KeyManagerError)) throw error;
      throw unusable(`${name} cannot sign: ${error.message}`, error);
    }
  }
}

/**
 * Keys are destroyed before the store says so: what is `destroyed` there is gone for certain, and after
 * a crash in between the step is taken again. Nothing that opened this gate can shut it.
 */
async function destroyKeys(
  { context, settings }: StepTools,
  plan: Plan<Generation>,
  request: RotationRequest & { readonly kind: CaKind },
): Promise<void> {
  const { queries } = context.store;
  const generations = await readGenerations(queries);
  const subject = await gateSubject(queries, generations, plan, request.kind);
  refuseShut(await readGate(queries, context.now().getTime(), subject, settings.windows), request);
  for (const { generation } of plan.moves) {
    try {
      await context.keys.destroy(generation.keyRef);
    } catch (error) {
      if (!(error instanceof KeyManagerError)) throw error;
      throw unusable(
        `the key of ${describeGeneration(generation)} was not destroyed: ${error.message}`,
        error,
      );
    }
  }
  crashPoint('rotate.after_destroy');
}

async function commitStep(
  { context, settings }: StepTools,
  transaction: Transaction,
  plan: Plan<Generation>,
  made: readonly MadeGeneration[],
  request: RotationRequest & { readonly kind: CaKind },
): Promise<RotationGeneration> {
  const { queries, now } = transaction;
  const { kind, step, force, caller } = request;
  const current = await readGenerations(queries);
  if (describePlan(planStep(current, kind, step, request.number)) !== describePlan(plan)) {
    throw new ServiceError('ABORTED', 'changed_meanwhile', 'another step was taken meanwhile');
  }
  const subject = await gateSubject(queries, current, plan, kind);
  const gate = await readGate(queries, now, subject, settings.windows);
  refuseShut(gate, request);
  const { after, changed } = await writeTransitions(transaction, {
    current,
    plan,
    made,
    gate,
    by: caller.name,
    forcedWhy: gate.open && step !== 'taint' ? undefined : force?.reason,
  });
  if (plan.publishes) await publishAfter(context, transaction, after, made, caller.name);
  const [gone] = plan.moves;
  if (gone?.to === 'retired') await finishCampaigns(queries, [gone.generation.id], now);
  if (plan.reissue !== undefined) {
    await startCampaign(transaction, settings, {
      id: context.random(16),
      issuer: plan.reissue,
      windowMs: request.windowMs,
      why: force?.reason ?? `${describeGeneration(plan.reissue)} is ${plan.reissue.state}`,
      by: caller.name,
    });
  }
  const [first] = changed;
  if (first !== undefined) {
    await transaction.publish({ type: 'authority_keys', subject: first.id, payload: { step } });
  }
  const about = plan.subject ?? made[0];
  const result = after.find(({ id }) => about !== undefined && toHex(id) === toHex(about.id));
  if (result === undefined) throw new TypeError(`${step} is about nothing`);
  return await describeCa(queries, now, result);
}

/** The trust bundle of the generations as they are now, and in which one the new ones first are. */
async function publishAfter(
  context: AuthorityContext,
  transaction: Transaction,
  after: readonly Generation[],
  made: readonly MadeGeneration[],
  by: string,
): Promise<void> {
  const { queries } = transaction;
  const sequence = await publishBundle(
    transaction,
    await gatherBundle({
      trustDomain: context.trustDomain,
      epoch: context.epoch,
      addresses: context.addresses,
      generations: after,
      keyOf: async (generation) =>
        made.find(({ keyRef }) => keyRef === generation.keyRef)?.key ??
        (await context.generations.keyOf(generation)),
      previous: await currentBundle(queries),
      by,
    }),
  );
  await queries
    .updateTable('ca_generation')
    .set({ published_in: sequence })
    .where('kind', 'in', ['root', 'issuing'])
    .where('state', 'in', ['published', 'signing'])
    .where('published_in', 'is', null)
    .execute();
}

/** Throws `gate_shut`, naming a few of those waited for, unless the step is forced. */
export function refuseShut(gate: Gate, { force, step, kind }: RotationRequest): void {
  if (gate.open || force !== undefined) return;
  const more = gate.laggardsTotal - gate.laggards.length;
  const named = gate.laggards.slice(0, 3).map(({ name, why }) => `${name} ${why}`);
  const others =
    more > 0 || gate.laggards.length > 3 ? [`${String(gate.laggardsTotal)} in all`] : [];
  throw new ServiceError(
    'FAILED_PRECONDITION',
    'gate_shut',
    [
      `${step} of ${kind} ${String(gate.number)} has to wait: ${gate.detail}`,
      ...named,
      ...others,
    ].join('; '),
  );
}

/** Two plans with the same text do the same to the same generations in the same states. */
function describePlan({ moves, make, publishes }: Plan<Generation>): string {
  return JSON.stringify([
    moves.map(({ generation, to }) => [toHex(generation.id), generation.stateVersion, to]),
    make,
    publishes,
  ]);
}
