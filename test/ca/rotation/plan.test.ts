import { expect } from 'chai';
import { type Planned, planStep } from '../../../src/ca/rotation/plan.ts';
import { type NumberedKey, planTokenKeyStep } from '../../../src/ca/rotation/token-key-plan.ts';
import type { RotationStep } from '../../../src/ca/rotation/steps.ts';
import type { CaKind, CaState } from '../../../src/ca/store/schema.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';

const steps: readonly RotationStep[] = [
  'publish',
  'activate',
  'abort',
  'rollback',
  'taint',
  'reissue',
  'retire',
  'destroy',
];
const states: readonly CaState[] = [
  'prepared',
  'published',
  'signing',
  'draining',
  'retired',
  'destroyed',
  'aborted',
  'tainted',
];

/** What may be done with a generation in each state, and what it is then. Everything else is refused. */
const allowed: Readonly<Record<CaState, Readonly<Partial<Record<RotationStep, CaState>>>>> = {
  prepared: { publish: 'published', abort: 'aborted' },
  published: { activate: 'signing', abort: 'aborted' },
  signing: { rollback: 'draining', taint: 'tainted' },
  draining: { reissue: 'draining', taint: 'tainted', retire: 'retired' },
  tainted: { reissue: 'tainted', retire: 'retired' },
  retired: { destroy: 'destroyed' },
  aborted: { destroy: 'destroyed' },
  destroyed: {},
};

/** An enrolment CA certifies no hosts that could be reissued. */
const notFor: Readonly<Record<CaKind, readonly RotationStep[]>> = {
  root: [],
  issuing: [],
  enrolment: ['reissue'],
};

const allowedForTokens: Readonly<
  Partial<Record<CaState, Readonly<Partial<Record<RotationStep, string>>>>>
> = {
  published: { activate: 'signing', abort: 'retired' },
  signing: { rollback: 'verifying' },
  draining: { retire: 'retired' },
  retired: {},
};

describe('rotation plan', () => {
  for (const kind of ['root', 'issuing', 'enrolment'] as const) {
    for (const state of states) {
      for (const step of steps) {
        const to = notFor[kind].includes(step) ? undefined : allowed[state][step];
        it(`${to === undefined ? 'refuses' : 'takes'} ${step} of ${kind} that is ${state}`, () => {
          const { family, subject } = familyWith(kind, state);
          if (to === undefined) {
            expect(reasonOf(() => planStep(family, kind, step, subject.number))).to.equal(
              'wrong_state',
            );
            return;
          }
          const plan = planStep(family, kind, step, subject.number);
          expect(plan.subject).to.equal(subject);
          const move = plan.moves.find(({ generation }) => generation === subject);
          expect(move?.to ?? state).to.equal(to);
          expect(signingAfter(family, plan)).to.deep.equal({ root: 1, issuing: 1, enrolment: 1 });
        });
      }
    }
  }

  for (const [state, taken] of Object.entries(allowedForTokens)) {
    for (const step of steps) {
      const to = taken[step];
      it(`${to === undefined ? 'refuses' : 'takes'} ${step} of a token key that is ${state}`, () => {
        const keys = (['retired', 'draining', 'signing', 'published'] as const).map(key);
        const subject = keys.find((each) => each.state === state)!;
        const plan = () => planTokenKeyStep(keys, step, subject.number);
        if (to === undefined) expect(reasonOf(plan)).to.equal('wrong_state');
        else expect(plan().moves.find((move) => move.key === subject)?.to).to.equal(to);
      });
    }
  }

  for (const kind of ['root', 'issuing', 'enrolment'] as const) {
    for (const state of ['prepared', 'published'] as const) {
      it(`prepares no second ${kind} while one is ${state}`, () => {
        const { family } = familyWith(kind, state);
        expect(reasonOf(() => planStep(family, kind, 'prepare'))).to.equal('wrong_state');
      });
    }
    it(`makes the next ${kind}`, () => {
      const { family } = familyWith(kind, 'retired');
      const number = 1 + family.filter((each) => each.kind === kind).length;
      expect(planStep(family, kind, 'prepare').make).to.deep.equal([
        { kind, number, state: 'prepared' },
      ]);
    });
  }

  it('knows no generation of another number', () => {
    const { family } = familyWith('root', 'prepared');
    expect(reasonOf(() => planStep(family, 'root', 'publish', 9))).to.equal('unknown_generation');
  });

  it('does not let an issuing CA sign below a root that does not', () => {
    const { family, subject } = familyWith('issuing', 'published');
    const other = { ...subject, parent: id(99) };
    const root = { ...family[0]!, id: id(99), number: 9, state: 'draining' as const };
    const all = [...family.filter((each) => each !== subject), other, root];
    expect(reasonOf(() => planStep(all, 'issuing', 'activate', other.number))).to.equal(
      'wrong_state',
    );
  });

  it('retires the oldest and activates the newest when no number is given', () => {
    const { family } = familyWith('issuing', 'published');
    expect(planStep(family, 'issuing', 'activate').subject?.state).to.equal('published');
    expect(planStep(family, 'issuing', 'retire').subject?.number).to.equal(1);
  });

  it('gives the same plan for the same generations', () => {
    const { family } = familyWith('root', 'published');
    const again = [...family].reverse();
    expect(planStep(family, 'root', 'activate')).to.deep.equal(planStep(again, 'root', 'activate'));
  });
});

/**
 * An authority in the middle of its life: of each kind one that drains and one that signs, and one of
 * a kind in a state.
 */
function familyWith(kind: CaKind, state: CaState): { family: Planned[]; subject: Planned } {
  const family: Planned[] = [
    generation('root', 1, 'draining'),
    generation('root', 2, 'signing'),
    generation('issuing', 1, 'draining', id(11)),
    generation('issuing', 2, 'draining', id(12)),
    generation('issuing', 3, 'signing', id(12)),
    generation('enrolment', 1, 'draining'),
    generation('enrolment', 2, 'signing'),
  ];
  const found = family.findLast((each) => each.kind === kind && each.state === state);
  if (found !== undefined) return { family, subject: found };
  const number = family.filter((each) => each.kind === kind).length + 1;
  const subject = generation(kind, number, state, kind === 'issuing' ? id(12) : undefined);
  return { family: [...family, subject], subject };
}

function generation(kind: CaKind, number: number, state: CaState, parent?: Uint8Array): Planned {
  const base = { root: 10, issuing: 20, enrolment: 30 }[kind];
  return { id: id(base + number), kind, number, state, stateVersion: 1, parent };
}

function id(byte: number): Uint8Array {
  return new Uint8Array(16).fill(byte);
}

function key(state: CaState, index: number): NumberedKey {
  return { id: id(index), number: index + 1, state };
}

/** How many of each kind sign when a plan is done: always exactly one. */
function signingAfter(
  family: readonly Planned[],
  { moves, make }: ReturnType<typeof planStep>,
): Record<CaKind, number> {
  const after = family.map((each) => {
    const move = moves.find(({ generation: moved }) => moved === each);
    return { kind: each.kind, state: move?.to ?? each.state };
  });
  const counts = { root: 0, issuing: 0, enrolment: 0 };
  for (const { kind, state } of [...after, ...make]) if (state === 'signing') counts[kind] += 1;
  return counts;
}

function reasonOf(plan: () => unknown): string {
  try {
    plan();
  } catch (error) {
    if (error instanceof ServiceError) return error.reason;
    throw error;
  }
  return 'planned';
}
