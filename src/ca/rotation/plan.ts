import { equal } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { CaKind, CaState } from '../store/schema.ts';
import { type GateName, type RotationStep, stepRule } from './steps.ts';

/** What a plan needs to know of a generation. */
export interface Planned {
  readonly id: Uint8Array;
  readonly kind: CaKind;
  readonly number: number;
  readonly state: CaState;
  readonly stateVersion: number;
  readonly parent: Uint8Array | undefined;
}

/** A change of one generation's state. */
export interface Move<G extends Planned = Planned> {
  readonly generation: G;
  readonly to: CaState;
}

/** What a step will do, worked out from the generations as they are. */
export interface Plan<G extends Planned = Planned> {
  readonly step: RotationStep;
  /** What the step is about; absent: it is still to be made. */
  readonly subject: G | undefined;
  /** In the order in which they are written: whoever stops signing does so first. */
  readonly moves: readonly Move<G>[];
  /** Generations to be made, and the state they begin in. */
  readonly make: readonly Making[];
  readonly gates: readonly GateName[];
  /** Whether the set of trusted CAs changes. */
  readonly publishes: boolean;
  /** Whose certificates have to be reissued at once. */
  readonly reissue: G | undefined;
}

export interface Making {
  readonly kind: CaKind;
  readonly number: number;
  readonly state: CaState;
}

/**
 * Works out what a step does. Pure: the same generations give the same plan, which is how a
 * transaction knows that nothing has moved since the keys were made.
 *
 * Throws `ServiceError` (`FAILED_PRECONDITION`, `wrong_state`; `NOT_FOUND`, `unknown_generation`).
 */
export function planStep<G extends Planned>(
  generations: readonly G[],
  kind: CaKind,
  step: RotationStep,
  number?: number,
): Plan<G> {
  const all = new Family(generations);
  if (step === 'prepare') return planPrepare(all, kind);
  const subject = number === undefined ? all.due(kind, step) : all.numbered(kind, number);
  const rule = stepRule(kind, step, subject.state);
  if (rule === undefined) throw wrongState(subject, step);
  refuseChildOfMovingRoot(all, subject, step);
  const plan = { step, subject, make: [], gates: rule.gates[kind] ?? [], reissue: undefined };
  const group = all.withChildren(subject);
  switch (step) {
    case 'publish':
    case 'abort':
      return {
        ...plan,
        moves: group.map((generation) => ({ generation, to: rule.to })),
        publishes: kind !== 'enrolment' && (step === 'publish' || subject.state === 'published'),
      };
    case 'activate':
      return {
        ...plan,
        moves: [...replaced(all, kind, 'draining'), ...moved(group, 'signing')],
        publishes: false,
      };
    case 'rollback':
      return {
        ...plan,
        moves: [
          ...moved(all.tree(subject, 'signing'), 'draining'),
          ...moved(predecessor(all, subject), 'signing'),
        ],
        publishes: false,
      };
    case 'taint':
      return planTaint(all, { ...plan, subject });
    case 'reissue':
      return { ...plan, moves: [], publishes: false, reissue: subject };
    case 'retire':
      return {
        ...plan,
        moves: moved([...all.tree(subject, 'draining', 'tainted')], 'retired'),
        publishes: kind !== 'enrolment',
      };
    case 'destroy':
      return { ...plan, moves: moved(destroyed(all, subject), 'destroyed'), publishes: false };
  }
}

/** A message such as `root 2`. */
export function describeGeneration({ kind, number }: Pick<Planned, 'kind' | 'number'>): string {
  return `${kind} ${String(number)}`;
}

function planPrepare<G extends Planned>(all: Family<G>, kind: CaKind): Plan<G> {
  const waiting = all.newestIn(kind, 'prepared', 'published');
  if (waiting !== undefined) throw wrongState(waiting, 'prepare', 'is not active yet');
  all.signing(kind);
  return {
    step: 'prepare',
    subject: undefined,
    moves: [],
    make: all.nextOf(kind, 'prepared'),
    gates: [],
    publishes: false,
    reissue: undefined,
  };
}

/**
 * A key in wrong hands stops signing now: whatever successor there is signs instead, if need be one
 * made for it. Hosts that do not know a new root yet follow its cross certificate.
 */
function planTaint<G extends Planned>(
  all: Family<G>,
  plan: Omit<Plan<G>, 'moves' | 'publishes'> & { readonly subject: G },
): Plan<G> {
  const { subject } = plan;
  const { kind } = subject;
  const reissue = kind === 'enrolment' ? undefined : subject;
  const tainted = moved(all.tree(subject, 'signing', 'draining'), 'tainted');
  if (subject.state === 'draining') return { ...plan, moves: tainted, publishes: false, reissue };
  const successor = all.of(kind).findLast((other) => {
    return ['prepared', 'published'].includes(other.state) && sameParent(other, subject);
  });
  return {
    ...plan,
    moves: [
      ...tainted,
      ...(successor === undefined ? [] : moved(all.withChildren(successor), 'signing')),
    ],
    make: successor === undefined ? all.nextOf(kind, 'signing') : [],
    publishes: kind !== 'enrolment' && successor?.state !== 'published',
    reissue,
  };
}

/** Those that sign now, with what a root takes along, on their way to another state. */
function replaced<G extends Planned>(all: Family<G>, kind: CaKind, to: CaState): Move<G>[] {
  return moved(all.tree(all.signing(kind), 'signing'), to);
}

/** Whom a rollback gives signing back to: the newest draining of the kind, below the same root. */
function predecessor<G extends Planned>(all: Family<G>, subject: G): G[] {
  const before = all.of(subject.kind).filter((other) => {
    return (
      other.state === 'draining' && other.number < subject.number && sameParent(other, subject)
    );
  });
  const chosen = before.at(-1);
  if (chosen === undefined)
    throw wrongState(subject, 'rollback', 'has none before it to go back to');
  if (chosen.kind !== 'root') return [chosen];
  const child = all
    .childrenOf(chosen)
    .filter(({ state }) => state === 'draining')
    .at(-1);
  if (child === undefined) throw wrongState(chosen, 'rollback', 'has no issuing CA left');
  return [chosen, child];
}

/** A root goes last of its kin: what is left of the CAs below it is destroyed with it. */
function destroyed<G extends Planned>(all: Family<G>, subject: G): G[] {
  return all.tree(subject, 'retired', 'aborted');
}

/** The issuing CA of a root that is not in charge moves with its root, not by itself. */
function refuseChildOfMovingRoot(all: Family<Planned>, subject: Planned, step: RotationStep): void {
  if (subject.kind !== 'issuing' || !movesWithRoot.includes(step)) return;
  const root = all.parentOf(subject);
  if (root !== undefined && root.state !== 'signing') {
    throw wrongState(subject, step, `moves with ${describeGeneration(root)}`);
  }
}

const movesWithRoot: readonly RotationStep[] = ['publish', 'activate', 'abort', 'rollback'];

/** The generations of an authority and how they hang together; each kind in order of number. */
class Family<G extends Planned> {
  readonly #generations: readonly G[];

  constructor(generations: readonly G[]) {
    this.#generations = [...generations].sort((a, b) => a.number - b.number);
  }

  of(kind: CaKind): readonly G[] {
    return this.#generations.filter((generation) => generation.kind === kind);
  }

  numbered(kind: CaKind, number: number): G {
    const found = this.of(kind).find((generation) => generation.number === number);
    if (found !== undefined) return found;
    const name = describeGeneration({ kind, number });
    throw new ServiceError('NOT_FOUND', 'unknown_generation', `there is no ${name}`);
  }

  /** The one a step is meant for when no number is given: new ones first, for leaving old ones first. */
  due(kind: CaKind, step: RotationStep): G {
    const fitting = this.of(kind).filter(({ state }) => {
      if (step === 'taint') return state === 'signing';
      return stepRule(kind, step, state) !== undefined;
    });
    const chosen = leaving.includes(step) ? fitting[0] : fitting.at(-1);
    if (chosen !== undefined) return chosen;
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'wrong_state',
      `no ${kind} generation is in a state for ${step}`,
    );
  }

  signing(kind: CaKind): G {
    const found = this.newestIn(kind, 'signing');
    if (found !== undefined) return found;
    throw new ServiceError('FAILED_PRECONDITION', 'wrong_state', `no ${kind} generation signs`);
  }

  newestIn(kind: CaKind, ...states: readonly CaState[]): G | undefined {
    return this.of(kind).findLast(({ state }) => states.includes(state));
  }

  parentOf(child: Planned): G | undefined {
    const { parent } = child;
    if (parent === undefined) return undefined;
    return this.#generations.find(({ id }) => equal(id, parent));
  }

  childrenOf(root: Planned): readonly G[] {
    return this.of('issuing').filter(({ parent }) => {
      return root.kind === 'root' && parent !== undefined && equal(parent, root.id);
    });
  }

  /** A generation and what a root takes along: the issuing CAs below it in the same state. */
  withChildren(subject: G): G[] {
    return this.tree(subject, subject.state);
  }

  /** A generation and the issuing CAs below it that are in one of some states. */
  tree(subject: G, ...states: readonly CaState[]): G[] {
    const children = this.childrenOf(subject).filter(({ state }) => states.includes(state));
    return [subject, ...children];
  }

  /** What the next generation of a kind consists of. */
  nextOf(kind: CaKind, state: CaState): Making[] {
    const kinds: readonly CaKind[] = kind === 'root' ? ['root', 'issuing'] : [kind];
    return kinds.map((each) => ({
      kind: each,
      number: (this.of(each).at(-1)?.number ?? 0) + 1,
      state,
    }));
  }
}

const leaving: readonly RotationStep[] = ['retire', 'destroy', 'reissue'];

function moved<G extends Planned>(generations: readonly G[], to: CaState): Move<G>[] {
  return generations.map((generation) => ({ generation, to }));
}

function sameParent(a: Planned, b: Planned): boolean {
  if (a.parent === undefined || b.parent === undefined) return a.parent === b.parent;
  return equal(a.parent, b.parent);
}

function wrongState(subject: Planned, step: RotationStep, why?: string): ServiceError {
  const name = describeGeneration(subject);
  return new ServiceError(
    'FAILED_PRECONDITION',
    'wrong_state',
    why === undefined
      ? `${step} does not apply to ${name}, which is ${subject.state}`
      : `${step} is not possible: ${name} ${why}`,
  );
}
