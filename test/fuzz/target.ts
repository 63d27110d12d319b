import { TlsAlertError } from '../../src/tls/alert.ts';
import type { Mutator } from './mutator.ts';

/** Something that has to bear any bytes. */
export interface Target {
  readonly name: string;
  /** Where mutations begin, besides the kept corpus. */
  readonly seeds: () => readonly Uint8Array[];
  readonly mutate: Mutator;
  /**
   * Throws when a rule is broken. Answers what became of the input in a few words, the same for
   * inputs of the same kind: one of a new kind is worth mutating further.
   */
  readonly check: (input: Uint8Array) => string;
  /** CPU time one case may take; absent: 250 ms. */
  readonly maxCpuMs?: number;
}

/** Calls, and lets pass only errors of the given kind. */
export function valueOrError<T, E extends Error>(
  call: () => T,
  isAllowed: (error: unknown) => error is E,
): { readonly value: T } | { readonly error: E } {
  try {
    return { value: call() };
  } catch (error) {
    if (isAllowed(error)) return { error };
    throw error;
  }
}

/** An alert, but not one that means a bug of ours. */
export function isPeersFault(error: unknown): error is TlsAlertError {
  return error instanceof TlsAlertError && error.alert !== 'internal_error';
}

export function isA<T extends Error>(
  kind: abstract new (...parameters: never[]) => T,
): (error: unknown) => error is T {
  return (error): error is T => error instanceof kind;
}

/** A message with all that varies taken out. */
export function kindOf(error: Error): string {
  return error.message.replaceAll(/0x[0-9a-f]+|"[^"]*"|\d+/gu, '#').slice(0, 120);
}

/** Fails a case. */
export function broken(rule: string): never {
  throw new BrokenRule(rule);
}

/** A promise that was not kept. */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule';
}

/** Compares bytes. */
export function mustEqual(rule: string, actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) !== 0) broken(rule);
}

/** Compares lists of words; long ones are told by where they begin to differ. */
export function mustAgree(rule: string, one: readonly string[], other: readonly string[]): void {
  const length = Math.max(one.length, other.length);
  for (let index = 0; index < length; index++) {
    const left = one[index] ?? 'nothing';
    const right = other[index] ?? 'nothing';
    if (left === right) continue;
    const same = Buffer.from(left).findIndex((byte, place) => byte !== right.charCodeAt(place));
    const from = Math.max(0, same - 20);
    const excerpts = [left, right].map((line) => line.slice(from, from + 100));
    broken(`${rule}: "${excerpts.join('" and "')}" at ${String(same)}`);
  }
}
