import { ServiceError } from '../../rpc/errors.ts';
import { readGenerations } from '../generations/read-generations.ts';
import type { Generation } from '../generations/generation.ts';
import type { CaKind } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { issuingBelow } from './campaigns.ts';
import { liveCertificates } from './count-hosts.ts';
import { gateSubject } from './gate-subject.ts';
import { type GateWindows, readGate } from './gate.ts';
import { type Plan, planStep } from './plan.ts';
import type { Gate, RotationGeneration } from './rotation.ts';
import { type RotationStep, stepsFrom } from './steps.ts';

/** Every CA generation, and what each step that is possible now waits for. */
export async function readCaStatus(
  queries: Queries,
  now: number,
  windows: GateWindows,
): Promise<{
  readonly generations: readonly RotationGeneration[];
  readonly gates: readonly Gate[];
}> {
  const generations = await readGenerations(queries);
  const gates: Gate[] = [];
  for (const { kind, step, number } of possibleSteps(generations)) {
    const plan = possiblePlan(generations, kind, step, number);
    if (plan === undefined) continue;
    const subject = await gateSubject(queries, generations, plan, kind);
    gates.push(await readGate(queries, now, subject, windows));
  }
  const described: RotationGeneration[] = [];
  for (const each of generations) described.push(await describeCa(queries, now, each));
  return { generations: described, gates };
}

/** A CA generation as the outside sees it. */
export async function describeCa(
  queries: Queries,
  now: number,
  generation: Generation,
): Promise<RotationGeneration> {
  const { id, kind, number, state, certificate } = generation;
  const { live } = await liveCertificates(queries, now, await issuingBelow(queries, id))
    .select((each) => each.fn.countAll<number>().as('live'))
    .executeTakeFirstOrThrow();
  const { notBefore, notAfter, der } = certificate;
  return { id, kind, number, state, notBefore, notAfter, certificate: der, live };
}

/** The plan of a step, or `undefined` if it is not possible as things are. */
export function possiblePlan(
  generations: readonly Generation[],
  kind: CaKind,
  step: RotationStep,
  number?: number,
): Plan<Generation> | undefined {
  try {
    return planStep(generations, kind, step, number);
  } catch (error) {
    if (error instanceof ServiceError) return undefined;
    throw error;
  }
}

function possibleSteps(generations: readonly Generation[]) {
  return [
    ...caKinds.map((kind) => ({ kind, step: 'prepare' as const, number: undefined })),
    ...generations.flatMap(({ kind, number, state }) =>
      stepsFrom(kind, state).map(({ step }) => ({ kind, step, number })),
    ),
  ];
}

export const caKinds: readonly CaKind[] = ['root', 'issuing', 'enrolment'];
