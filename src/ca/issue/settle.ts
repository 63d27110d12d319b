import type { Row } from '../store/schema.ts';
import type { Outcome } from '../write/operation.ts';
import type { Grant, Made } from './grant.ts';
import type { Issued } from './issued.ts';
import type { RefusalReason } from './refusal.ts';
import type { Replay } from './replay.ts';

/** What is decided about one request of a batch, before anything is written. */
export type Verdict =
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'replay'; readonly redemption: Row<'redemption'> }
  /** The same token and key as an item before it. */
  | { readonly kind: 'same'; readonly as: number }
  | { readonly kind: 'refused'; readonly reason: RefusalReason };

/** Grants among verdicts, in order. */
export function grantsOf(verdicts: readonly Verdict[]): readonly Grant[] {
  return verdicts.flatMap((verdict) => (verdict.kind === 'grant' ? [verdict.grant] : []));
}

/** Redemptions to be answered again, in order. */
export function redemptionsOf(verdicts: readonly Verdict[]): readonly Row<'redemption'>[] {
  return verdicts.flatMap((verdict) => (verdict.kind === 'replay' ? [verdict.redemption] : []));
}

/** Turns verdicts and what came of them into outcomes, in order; `on` writes the audit log. */
export function settle(
  verdicts: readonly Verdict[],
  results: { readonly made: readonly Made[]; readonly replays: readonly Replay[] },
  on: {
    readonly granted: (made: Made, index: number) => void;
    readonly refused: (reason: RefusalReason, index: number) => Outcome<never>;
  },
): readonly Outcome<Issued>[] {
  const made = results.made.values();
  const replays = results.replays.values();
  const outcomes: Outcome<Issued>[] = [];
  for (const [index, verdict] of verdicts.entries()) {
    switch (verdict.kind) {
      case 'grant': {
        const one = required(made.next().value);
        on.granted(one, index);
        outcomes.push({ ok: true, value: one.issued });
        break;
      }
      case 'replay': {
        const again = required(replays.next().value);
        outcomes.push(
          again.ok ? { ok: true, value: again.issued } : on.refused(again.reason, index),
        );
        break;
      }
      case 'same': {
        const first = required(outcomes[verdict.as]);
        outcomes.push(first.ok ? { ok: true, value: { ...first.value, replayed: true } } : first);
        break;
      }
      case 'refused':
        outcomes.push(on.refused(verdict.reason, index));
    }
  }
  return outcomes;
}

/** One result to each verdict: anything else is our own mistake. */
export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a batch has fewer results than items');
  return value;
}
