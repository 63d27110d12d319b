import type { CaKind, CaState } from '../store/schema.ts';

/** What can be rotated: the CAs, the keys that sign tokens, and the ticket keys of all sidecars. */
export type RotationKind = CaKind | 'token' | 'ticket';

/**
 * - `prepare` makes the next generation: key, certificate, for a root also the cross certificates.
 * - `publish` puts it into the trust bundle.
 * - `activate` has everything new signed by it, below a root by a new issuing CA; the one before drains.
 * - `reissue` has all hosts below a draining generation renew, each in its slot.
 * - `retire` takes a drained generation out of the bundle.
 * - `destroy` destroys its private key.
 * - `rollback` gives signing back to the generation before.
 * - `taint` is for a key in wrong hands: another signs from now on, and all below it is reissued.
 * - `abort` gives up a generation that has not signed yet.
 */
export type RotationStep =
  | 'prepare'
  | 'publish'
  | 'activate'
  | 'reissue'
  | 'retire'
  | 'destroy'
  | 'rollback'
  | 'taint'
  | 'abort';

/** What has to be counted before a step is taken. */
export type GateName =
  /** Every live replica has used the key for a trial signature. */
  | 'replicas'
  /** Every live replica signs with, and shows itself with, what is to sign now. */
  | 'replicas_moved'
  /** Every live host has acknowledged a trust bundle that has the generation. */
  | 'acknowledged'
  /** No live certificate depends on it. */
  | 'certificates'
  /** No bundle file that could still be used trusts only it. */
  | 'bundle_files'
  /** No usable token is signed by it. */
  | 'tokens'
  /** A CRL is out that lasts as long as the certificates it is about. */
  | 'last_crl';

/** One row: a step finds a generation in `from`, leaves it in `to`, and waits for `gates`. */
export interface StepRule {
  readonly step: RotationStep;
  /** Absent: there is none yet. */
  readonly from?: CaState;
  readonly to: CaState;
  readonly gates: Readonly<
    Record<Exclude<RotationKind, 'ticket'>, readonly GateName[] | undefined>
  >;
}

/** The row for a generation in a state, or `undefined`: the step does not apply to it. */
export function stepRule(
  kind: Exclude<RotationKind, 'ticket'>,
  step: RotationStep,
  from: CaState | undefined,
): StepRule | undefined {
  return stepRules.find(
    (rule) => rule.step === step && rule.from === from && rule.gates[kind] !== undefined,
  );
}

/** Steps that apply to a generation in a state, in the order in which they would be taken. */
export function stepsFrom(
  kind: Exclude<RotationKind, 'ticket'>,
  from: CaState,
): readonly StepRule[] {
  return stepRules.filter((rule) => rule.from === from && rule.gates[kind] !== undefined);
}

const open = { root: [], issuing: [], enrolment: [], token: [] } as const;
/** Token keys are in no bundle, and are destroyed when they retire. */
const notTokens = { ...open, token: undefined } as const;
/** Only what certifies hosts can be reissued. */
const hosts = { ...notTokens, enrolment: undefined } as const;
const drained = {
  root: ['certificates', 'acknowledged', 'replicas_moved', 'bundle_files'],
  issuing: ['certificates', 'acknowledged', 'replicas_moved'],
  enrolment: ['certificates'],
} as const;

/**
 * Every step there is. `rollback` also moves the generation before back from `draining` to `signing`;
 * `activate` and `taint` move the one that signed away and its successor to `signing`. A root that comes
 * to sign gets a new issuing CA below it; one that leaves takes along what is below it.
 */
export const stepRules: readonly StepRule[] = [
  { step: 'prepare', to: 'prepared', gates: notTokens },
  // A token key is in no bundle: it can be verified with as soon as replicas know it.
  { step: 'prepare', to: 'published', gates: { ...noKind(), token: [] } },
  {
    step: 'publish',
    from: 'prepared',
    to: 'published',
    gates: { root: ['replicas'], issuing: ['replicas'], enrolment: ['replicas'], token: undefined },
  },
  {
    step: 'activate',
    from: 'published',
    to: 'signing',
    gates: {
      root: ['acknowledged', 'replicas'],
      issuing: ['acknowledged', 'replicas'],
      enrolment: ['replicas'],
      token: ['replicas'],
    },
  },
  { step: 'abort', from: 'prepared', to: 'aborted', gates: notTokens },
  { step: 'abort', from: 'published', to: 'aborted', gates: notTokens },
  { step: 'abort', from: 'published', to: 'retired', gates: { ...noKind(), token: [] } },
  { step: 'rollback', from: 'signing', to: 'draining', gates: open },
  { step: 'taint', from: 'signing', to: 'tainted', gates: notTokens },
  { step: 'taint', from: 'draining', to: 'tainted', gates: notTokens },
  { step: 'reissue', from: 'draining', to: 'draining', gates: hosts },
  { step: 'reissue', from: 'tainted', to: 'tainted', gates: hosts },
  { step: 'retire', from: 'draining', to: 'retired', gates: { ...drained, token: ['tokens'] } },
  { step: 'retire', from: 'tainted', to: 'retired', gates: { ...drained, token: undefined } },
  {
    step: 'destroy',
    from: 'retired',
    to: 'destroyed',
    gates: { root: ['last_crl'], issuing: ['last_crl'], enrolment: [], token: undefined },
  },
  { step: 'destroy', from: 'aborted', to: 'destroyed', gates: notTokens },
];

function noKind() {
  return { root: undefined, issuing: undefined, enrolment: undefined, token: undefined } as const;
}
