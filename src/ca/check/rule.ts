import { type RawBuilder, sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import type { Queries } from '../store/transaction.ts';

/** Something that must never be. */
export interface Violation {
  /** Such as `I1`. */
  readonly invariant: string;
  /** Hex of an id or serial number, or a name. */
  readonly subject: string;
  readonly problem: string;
}

/** A query that finds what breaks an invariant; nothing, if all is well. */
export interface Rule {
  readonly invariant: string;
  /** What is wrong with each `subject` the query answers. */
  readonly problem: string;
  readonly query: RawBuilder<{ readonly subject: Uint8Array | string | number }>;
}

/** Runs rules, and names a few subjects of each that is broken. */
export async function brokenRules(
  queries: Queries,
  rules: readonly Rule[],
): Promise<readonly Violation[]> {
  const violations: Violation[] = [];
  for (const { invariant, problem, query } of rules) {
    const { rows } = await sql<{ readonly subject: Uint8Array | string | number }>`
      select subject from (${query}) as broken limit ${maxSubjects}`.execute(queries);
    for (const { subject } of rows) {
      violations.push({ invariant, subject: nameOf(subject), problem });
    }
  }
  return violations;
}

function nameOf(subject: Uint8Array | string | number): string {
  return subject instanceof Uint8Array ? toHex(subject) : String(subject);
}

/** Enough to look into; one fault often breaks thousands of rows. */
export const maxSubjects = 20;
