import type { Outcome } from '../cell.ts';
import { findProgram } from '../processes.ts';
import type { Bench, Check } from './check.ts';
import { olderHabitChecks } from './older-habits.ts';
import { pkiChecks } from './pki.ts';
import { opensslOptionChecks } from './openssl-options.ts';
import { refusalChecks } from './refusals.ts';
import { falseStartCheck, segmentChecks } from './segments.ts';
import { suiteChecks } from './suites.ts';
import { transferChecks } from './transfers.ts';

/** All checks beyond the matrix. */
export const allChecks: readonly Check[] = [
  ...segmentChecks,
  falseStartCheck,
  ...suiteChecks,
  ...transferChecks,
  ...opensslOptionChecks,
  ...refusalChecks,
  ...olderHabitChecks,
  ...pkiChecks,
];

export interface Checked {
  readonly check: Check;
  readonly outcome: Outcome;
}

/** Runs one check; whatever it throws is its failure. */
export async function runCheck(check: Check, bench: Bench, control: boolean): Promise<Checked> {
  if (control && check.notForControl !== undefined) {
    return { check, outcome: { status: 'skipped', why: check.notForControl } };
  }
  const missing = check.needs?.find((program) => findProgram(program) === undefined);
  if (missing !== undefined) {
    return { check, outcome: { status: 'skipped', why: `no ${missing} program` } };
  }
  try {
    return { check, outcome: await check.run(bench) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { check, outcome: { status: 'failed', why } };
  }
}

/** One line for each heading, and one for each check that did not pass. */
export function formatChecks(checked: readonly Checked[]): string {
  const headings = [...new Set(checked.map(({ check }) => check.heading))];
  const lines = headings.flatMap((heading) => {
    const under = checked.filter(({ check }) => check.heading === heading);
    const good = under.filter(({ outcome }) => outcome.status === 'passed').length;
    const others = under.flatMap(({ check, outcome }) =>
      outcome.status === 'passed' ? [] : [`    ${outcome.status}: ${check.name}: ${outcome.why}`],
    );
    return [`${`${String(good)}/${String(under.length)}`.padStart(7)}  ${heading}`, ...others];
  });
  return lines.join('\n');
}
