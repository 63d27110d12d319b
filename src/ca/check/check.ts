import type { Queries } from '../store/transaction.ts';
import { agentRules, checkAgentNames } from './agents.ts';
import { checkAuditLog } from './audit.ts';
import { checkCertificates } from './certificates.ts';
import { checkGates, generationRules } from './generations.ts';
import { checkCrls, revocationRules } from './revocations.ts';
import { brokenRules, type Violation } from './rule.ts';
import { secretRules } from './secrets.ts';
import { checkBundles, sequenceRules } from './sequences.ts';
import { tokenRules } from './tokens.ts';

export type { Violation } from './rule.ts';

/**
 * Checks what must hold of every authority's store at any time. The queries have to see one moment
 * (`Store.snapshot`), or no change may take place meanwhile.
 */
export async function checkInvariants(
  queries: Queries,
  options: { readonly now: Date },
): Promise<readonly Violation[]> {
  return [
    ...(await brokenRules(queries, [
      ...tokenRules,
      ...agentRules,
      ...generationRules,
      ...revocationRules,
      ...sequenceRules,
      ...secretRules,
    ])),
    ...(await checkAgentNames(queries)),
    ...(await checkCertificates(queries)),
    ...(await checkGates(queries, options.now.getTime())),
    ...(await checkCrls(queries)),
    ...(await checkBundles(queries)),
    ...(await checkAuditLog(queries)),
  ];
}
