import { ServiceError } from '../../rpc/errors.ts';
import type { CaState, TokenKeyState } from '../store/schema.ts';
import { type GateName, type RotationStep, stepRule } from './steps.ts';

/** What a plan needs to know of a token key. */
export interface NumberedKey {
  readonly id: Uint8Array;
  /** From 1, in the order in which they were made. */
  readonly number: number;
  /** As a generation: one that only verifies is `published` before it signed and `draining` after. */
  readonly state: CaState;
}

export interface TokenKeyPlan<K extends NumberedKey = NumberedKey> {
  /** Absent: a new one is made. */
  readonly subject: K | undefined;
  readonly moves: readonly { readonly key: K; readonly to: TokenKeyState }[];
  readonly gates: readonly GateName[];
}

/** Numbers token keys in the order in which they were made and names their states. */
export function numberKeys<K extends { readonly state: TokenKeyState; readonly createdAt: number }>(
  keys: readonly K[],
): readonly (Omit<K, 'state'> & { readonly number: number; readonly state: CaState })[] {
  const ordered = [...keys].sort((a, b) => a.createdAt - b.createdAt);
  const signing = ordered.findIndex(({ state }) => state === 'signing');
  return ordered.map((key, index) => ({
    ...key,
    number: index + 1,
    state: key.state === 'verifying' ? (index > signing ? 'published' : 'draining') : key.state,
  }));
}

/** As `planStep`, for token keys. */
export function planTokenKeyStep<K extends NumberedKey>(
  keys: readonly K[],
  step: RotationStep,
  number?: number,
): TokenKeyPlan<K> {
  if (step === 'prepare') {
    const waiting = keys.find(({ state }) => state === 'published');
    if (waiting !== undefined) throw wrongState(step, `token ${String(waiting.number)} waits`);
    return { subject: undefined, moves: [], gates: [] };
  }
  const subject = number === undefined ? due(keys, step) : numbered(keys, number);
  const rule = stepRule('token', step, subject.state);
  const gates = rule?.gates.token;
  if (gates === undefined) {
    throw wrongState(step, `token ${String(subject.number)} is ${subject.state}`);
  }
  const plan = { subject, gates };
  const signing = keys.find(({ state }) => state === 'signing');
  if (step === 'activate') {
    const before = signing === undefined ? [] : [{ key: signing, to: 'verifying' as const }];
    return { ...plan, moves: [...before, { key: subject, to: 'signing' }] };
  }
  if (step === 'rollback') {
    const before = keys.findLast(({ state }) => state === 'draining');
    if (before === undefined) throw wrongState(step, 'there is no key to go back to');
    return {
      ...plan,
      moves: [
        { key: subject, to: 'verifying' },
        { key: before, to: 'signing' },
      ],
    };
  }
  return { ...plan, moves: [{ key: subject, to: 'retired' }] };
}

function due<K extends NumberedKey>(keys: readonly K[], step: RotationStep): K {
  const fitting = keys.filter(({ state }) => stepRule('token', step, state) !== undefined);
  const chosen = step === 'retire' ? fitting[0] : fitting.at(-1);
  if (chosen !== undefined) return chosen;
  throw wrongState(step, 'no token key is in a state for it');
}

function numbered<K extends NumberedKey>(keys: readonly K[], number: number): K {
  const found = keys.find((key) => key.number === number);
  if (found !== undefined) return found;
  const message = `there is no token ${String(number)}`;
  throw new ServiceError('NOT_FOUND', 'unknown_generation', message);
}

function wrongState(step: RotationStep, why: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', 'wrong_state', `${step} is not possible: ${why}`);
}
