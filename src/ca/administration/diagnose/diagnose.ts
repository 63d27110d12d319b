import type { Finding } from '../../../gen/sidekey/v1/administration.ts';
import type { AuthorityContext } from '../../context.ts';
import type { AuthorityFacts } from '../facts.ts';
import { checkAuthority } from './authority.ts';
import { checkFleet } from './fleet.ts';
import { checkSurroundings } from './surroundings.ts';

/** Looks at everything that can be seen from here; what is worst comes first. */
export async function diagnose(
  context: AuthorityContext,
  facts: AuthorityFacts,
): Promise<Finding[]> {
  const findings = [
    ...checkAuthority(context, facts),
    ...(await checkFleet(context.store.queries, context.now())),
    ...(await checkSurroundings(context, facts)),
  ];
  const rank = ({ severity }: Finding): number => severities.indexOf(severity);
  return findings.sort((a, b) => rank(a) - rank(b));
}

const severities = ['error', 'warning', 'ok'];
