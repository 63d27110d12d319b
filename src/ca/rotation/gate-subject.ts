import type { Generation } from '../generations/generation.ts';
import type { CaKind } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { GateSubject } from './gate.ts';
import type { Plan } from './plan.ts';

/** What the gates of a plan are about, from the generations as they are before it. */
export async function gateSubject(
  queries: Queries,
  generations: readonly Generation[],
  plan: Plan<Generation>,
  kind: CaKind,
): Promise<GateSubject> {
  const { subject, moves } = plan;
  const signing = (of: CaKind) =>
    generations.find((each) => each.kind === of && each.state === 'signing');
  // What hosts have to know: whoever comes, or if one leaves whoever has come in its place.
  const known = subject?.state === 'published' ? subject : signing(kind);
  const leaving = moves.filter(({ to }) => to === 'retired' || to === 'destroyed');
  return {
    kind,
    number: subject?.number ?? plan.make[0]?.number ?? 0,
    step: plan.step,
    gates: plan.gates,
    keys: moves.flatMap(({ generation, to }) => {
      return to === 'published' || to === 'signing' ? [generation.id] : [];
    }),
    leaving: leaving.map(({ generation }) => generation.id),
    bundle: known?.publishedIn ?? 1,
    publishedAt: known === undefined ? 0 : await publishedAt(queries, known),
    issuing: signing('issuing')?.number ?? 0,
  };
}

/** When the first bundle with a generation was made. */
async function publishedAt(queries: Queries, { publishedIn }: Generation): Promise<number> {
  if (publishedIn === undefined) return 0;
  const bundle = await queries
    .selectFrom('bundle')
    .select('created_at')
    .where('seq', '=', publishedIn)
    .executeTakeFirst();
  return bundle?.created_at ?? 0;
}
