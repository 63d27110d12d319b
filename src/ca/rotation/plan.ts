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
  refuseBelowOtherRoot(all, subject, step);
  const plan = { step, subject, make: [], gates: rule.gates[kind] ?? [], reissue: undefined };
  switch (step) {
    case 'publish':
    case 'abort':
      return {
        ...plan,
        moves: moved([subject], rule.to),
        publishes: kind !== 'enrolment' && (step === 'publish' || subject.state === 'published'),
      };
    case 'activate':
      return {
        ...plan,
        moves: [...leave(all, all.signing(kind), 'draining'), ...moved([subject], 'signing')],
        // Hosts get issuing CAs with the chain: what they have to know beforehand is the root.
        make: kind === 'root' ? [all.next('issuing', 'signing')] : [],
        publishes: kind === 'root',
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
        moves: moved(all.tree(subject, 'draining', 'tainted'), 'retired'),
        publishes: kind !== 'enrolment',
      };
    case 'destroy':
      return {
        ...plan,
        // A root goes last of its kin: what is left of the CAs below it is destroyed with it.
        moves: moved(all.tree(subject, 'retired', 'aborted'), 'destroyed'),
        publishes: false,
      };
  }
}

/** A message such as `root 2`. */
export function describeGeneration({ kind, number }: Pick<Planned, 'kind' | 'number'>): string {
  return `${kind} ${String(number)}`;
}

function planPrepare<G extends Planned>(all: Family<G>, kind: CaKind): Plan<G> {
  const present = all.signing(kind);
  const waiting = all.successorOf(present);
  if (waiting !== undefined) throw wrongState(waiting, 'prepare', 'is not active yet');
  return {
    step: 'prepare',
    subject: undefined,
    moves: [],
    make: [all.next(kind, 'prepared')],
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
  if (subject.state === 'draining') {
    const moves = moved(all.tree(subject, 'draining'), 'tainted');
    return { ...plan, moves, publishes: false, reissue };
  }
  const successor = all.successorOf(subject);
  return {
    ...plan,
    moves: [
      ...leave(all, subject, 'tainted'),
      ...(successor === undefined ? [] : moved([successor], 'signing')),
    ],
    make: [
      ...(successor === undefined ? [all.next(kind, 'signing')] : []),
      ...(kind === 'root' ? [all.next('issuing', 'signing')] : []),
    ],
    publishes: kind !== 'enrolment',
    reissue,
  };
}

/**
 * Whoever signed until now stops. A root takes along what signs below it, and what was about to; if
 * its key is in wrong hands, so may be all that it certified.
 */
function leave<G extends Planned>(
  all: Family<G>,
  subject: G,
  to: 'draining' | 'tainted',
): Move<G>[] {
  const below = all.childrenOf(subject);
  const going: readonly CaState[] = to === 'tainted' ? ['signing', 'draining'] : ['signing'];
  return [
    ...moved([subject, ...below.filter(({ state }) => going.includes(state))], to),
    ...moved(
      below.filter(({ state }) => waiting.includes(state)),
      'aborted',
    ),
  ];
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

/** Below a root that is not in charge nothing can come to sign. */
function refuseBelowOtherRoot(all: Family<Planned>, subject: Planned, step: RotationStep): void {
  if (subject.kind !== 'issuing' || !towardsSigning.includes(step)) return;
  const root = all.parentOf(subject);
  if (root !== undefined && root.state !== 'signing') {
    throw wrongState(subject, step, `is below ${describeGeneration(root)}, which does not sign`);
  }
}

const towardsSigning: readonly RotationStep[] = ['publish', 'activate', 'rollback'];
const waiting: readonly CaState[] = ['prepared', 'published'];

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

  /** The one made to follow a generation, if there is one. */
  successorOf(present: G): G | undefined {
    return this.of(present.kind).findLast((other) => {
      return waiting.includes(other.state) && sameParent(other, present);
    });
  }

  /** A generation and the issuing CAs below it that are in one of some states. */
  tree(subject: G, ...states: readonly CaState[]): G[] {
    const children = this.childrenOf(subject).filter(({ state }) => states.includes(state));
    return [subject, ...children];
  }

  /** The next generation of a kind. */
  next(kind: CaKind, state: CaState): Making {
    return { kind, number: (this.of(kind).at(-1)?.number ?? 0) + 1, state };
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
