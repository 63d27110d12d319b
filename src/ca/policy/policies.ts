import { sql } from 'kysely';
import type { Role } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { Properties } from '../tokens/properties.ts';
import { type IssuancePolicy, issuancePolicy } from './policy.ts';

/** The newest version of a policy. */
export interface NamedPolicy {
  readonly name: string;
  readonly version: number;
  readonly policy: IssuancePolicy;
}

/** The newest version of every policy, by name. */
export async function readPolicies(queries: Queries): Promise<ReadonlyMap<string, NamedPolicy>> {
  const rows = await queries
    .selectFrom('policy')
    .select(['name', 'version', 'document'])
    .where(
      sql<boolean>`version = (select max(newer.version) from policy newer where newer.name = policy.name)`,
    )
    .execute();
  return new Map(rows.map((row) => [row.name, parsed(row.name, row.version, row.document)]));
}

/**
 * The policy for a role and properties: of those that match, the one of the highest priority, and of
 * equals the first by name.
 */
export function choosePolicy(
  policies: ReadonlyMap<string, NamedPolicy>,
  role: Role,
  properties: Properties,
): NamedPolicy | undefined {
  return [...policies.values()]
    .filter(({ policy }) => matches(policy, role, properties))
    .sort((a, b) => b.policy.priority - a.policy.priority || (a.name < b.name ? -1 : 1))[0];
}

/** Whether a policy is for a role and properties. */
export function matches(policy: IssuancePolicy, role: Role, properties: Properties): boolean {
  const { roles, properties: wanted } = policy.match;
  return (
    roles.some((name) => name === role) &&
    Object.entries(wanted).every(([name, value]) => {
      const actual = Object.hasOwn(properties, name) ? properties[name] : undefined;
      return actual !== undefined && (value === '*' || value === actual);
    })
  );
}

/** A version never changes, so its document is read once. */
function parsed(name: string, version: number, document: string): NamedPolicy {
  const known = cache.get(document);
  const policy = known ?? issuancePolicy.parse(JSON.parse(document));
  if (known === undefined) {
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(document, policy);
  }
  return { name, version, policy };
}

const cache = new Map<string, IssuancePolicy>();
const MAX_CACHED = 256;
