import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Generation } from '../generations/generation.ts';
import type { CaState } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import { keyIdentifierOf } from '../../pki/issue-certificate.ts';
import type { MadeGeneration } from './make-generations.ts';
import { describeGeneration, type Plan } from './plan.ts';
import type { Gate } from './rotation.ts';

/** Everything that {@link writeTransitions} writes. */
export interface TransitionWrites {
  readonly current: readonly Generation[];
  readonly plan: Plan<Generation>;
  readonly made: readonly MadeGeneration[];
  readonly gate: Gate;
  readonly by: string;
  /** Why a gate was overridden. */
  readonly forcedWhy: string | undefined;
}

/**
 * Writes the changes of a plan: each generation's row if it still is what was planned with, one row of
 * its history and one audit row. Answers all generations as they are then, and those that changed.
 */
export async function writeTransitions(
  transaction: Transaction,
  writes: TransitionWrites,
): Promise<{ readonly after: readonly Generation[]; readonly changed: readonly Generation[] }> {
  const changed: Generation[] = [];
  for (const { generation, to } of writes.plan.moves) {
    changed.push(await move(transaction, writes, generation, to));
  }
  for (const generation of writes.made) {
    await insert(transaction, generation);
    await record(transaction, writes, generation, undefined);
    changed.push(generation);
  }
  const fresh = new Map(changed.map((generation) => [toHex(generation.id), generation]));
  const kept = writes.current.filter(({ id }) => !fresh.has(toHex(id)));
  return { after: [...kept, ...changed], changed };
}

async function move(
  transaction: Transaction,
  writes: TransitionWrites,
  generation: Generation,
  to: CaState,
): Promise<Generation> {
  const stateVersion = generation.stateVersion + 1;
  const { numUpdatedRows } = await transaction.queries
    .updateTable('ca_generation')
    .set({ state: to, state_version: stateVersion })
    .where('id', '=', generation.id)
    .where('state', '=', generation.state)
    .where('state_version', '=', generation.stateVersion)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) {
    const name = describeGeneration(generation);
    throw new ServiceError('ABORTED', 'changed_meanwhile', `${name} was changed meanwhile`);
  }
  const moved = { ...generation, state: to, stateVersion };
  await record(transaction, writes, moved, generation.state);
  return moved;
}

async function insert(transaction: Transaction, made: MadeGeneration): Promise<void> {
  const { certificate } = made;
  await transaction.queries
    .insertInto('ca_generation')
    .values({
      id: made.id,
      kind: made.kind,
      number: made.number,
      parent: made.parent ?? null,
      key_ref: made.keyRef,
      key_identifier: keyIdentifierOf(certificate),
      certificate: certificate.der,
      cross_certificate: made.crossCertificate ?? null,
      old_with_new: made.oldWithNew ?? null,
      state: made.state,
      state_version: made.stateVersion,
      published_in: null,
      not_before: certificate.notBefore.getTime(),
      not_after: certificate.notAfter.getTime(),
      created_at: transaction.now,
    })
    .execute();
}

async function record(
  transaction: Transaction,
  { plan, gate, by, forcedWhy }: TransitionWrites,
  generation: Generation,
  from: CaState | undefined,
): Promise<void> {
  const { needed, reached, detail } = gate;
  await transaction.queries
    .insertInto('ca_transition')
    .values({
      generation: generation.id,
      state_version: generation.stateVersion,
      from_state: from ?? null,
      to_state: generation.state,
      at: transaction.now,
      by,
      forced_why: forcedWhy ?? null,
      gate: plan.gates.length === 0 ? null : JSON.stringify({ needed, reached, detail }),
    })
    .execute();
  transaction.audit({
    actor: by,
    action: `rotation.${plan.step}`,
    subject: describeGeneration(generation),
    outcome: 'done',
    details: {
      generation: toHex(generation.id),
      from: from ?? 'none',
      to: generation.state,
      ...(plan.gates.length === 0 ? {} : { needed, reached, gate: detail }),
      ...(forcedWhy === undefined ? {} : { forced_why: forcedWhy }),
    },
  });
}
