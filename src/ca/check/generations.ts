import { sql } from 'kysely';
import { liveCertificates } from '../rotation/count-hosts.ts';
import { toHex } from '../../bytes/bytes.ts';
import type { Queries } from '../store/transaction.ts';
import { maxSubjects, type Rule, type Violation } from './rule.ts';

/** I10 and I11: CA generations, their history, and what they signed. */
export const generationRules: readonly Rule[] = [
  {
    invariant: 'I10',
    problem: 'the certificate was issued by a CA that was not in charge then',
    query: sql`
      select c.serial as subject from certificate c
      where not exists (
        select 1 from ca_transition t
        where t.generation = c.issuer and t.to_state = 'signing' and t.at <= c.issued_at
          and not exists (
            select 1 from ca_transition n
            where n.generation = t.generation and n.state_version = t.state_version + 1
              and n.at < c.issued_at))`,
  },
  {
    invariant: 'I10',
    problem: 'the state of the generation is not where its history ends',
    query: sql`
      select g.id as subject from ca_generation g
      where not exists (
          select 1 from ca_transition t
          where t.generation = g.id and t.state_version = g.state_version and t.to_state = g.state)
        or g.state_version <> (select count(*) from ca_transition t where t.generation = g.id)`,
  },
  {
    invariant: 'I10',
    problem: 'the history of the generation has a break',
    query: sql`
      select t.generation as subject from ca_transition t
      left join ca_transition p
        on p.generation = t.generation and p.state_version = t.state_version - 1
      where t.from_state is distinct from p.to_state`,
  },
  {
    invariant: 'I10',
    problem: 'the root is relied on, and in no trust bundle',
    query: sql`
      select g.id as subject from ca_generation g
      where g.kind = 'root' and g.state in ('published', 'signing', 'draining')
        and not exists (select 1 from bundle b where b.seq = g.published_in)`,
  },
  {
    invariant: 'I10',
    problem: 'the CA is in charge below a root that hosts do not trust',
    query: sql`
      select g.id as subject from ca_generation g
      join ca_generation p on p.id = g.parent
      where g.state = 'signing' and p.state not in ('published', 'signing', 'draining')`,
  },
  {
    invariant: 'I10',
    problem: 'several CAs of a kind are in charge, or none is',
    query: sql`
      select k.kind as subject from (select distinct kind from ca_generation) k
      where (select count(*) from ca_generation g where g.kind = k.kind and g.state = 'signing') <> 1`,
  },
];

/** I11 and I12: no step was taken before its gate was open, unless somebody said why. */
export async function checkGates(queries: Queries, now: number): Promise<readonly Violation[]> {
  const violations: Violation[] = [];
  const activated = await queries
    .selectFrom('ca_transition')
    .innerJoin('ca_generation', 'ca_generation.id', 'ca_transition.generation')
    .select(['ca_transition.generation', 'ca_transition.gate'])
    .where('ca_generation.kind', '=', 'root')
    .where('from_state', '=', 'published')
    .where('to_state', '=', 'signing')
    .where('forced_why', 'is', null)
    .execute();
  for (const { generation, gate } of activated) {
    if (isOpen(gate)) continue;
    const problem = 'the root was put in charge before its gate was open, without a reason';
    violations.push({ invariant: 'I11', subject: toHex(generation), problem });
  }
  const retired = await queries
    .selectFrom('ca_generation')
    .innerJoin('ca_transition', 'ca_transition.generation', 'ca_generation.id')
    .select('ca_generation.id')
    .where('ca_generation.state', 'in', ['retired', 'destroyed'])
    .where('ca_transition.to_state', '=', 'retired')
    .where('ca_transition.forced_why', 'is', null)
    .execute();
  const left = await liveCertificates(
    queries,
    now,
    retired.map(({ id }) => id),
  )
    .select('certificate.serial')
    .limit(maxSubjects)
    .execute();
  for (const { serial } of left) {
    const problem = 'the certificate is in use, and the CA above it was retired';
    violations.push({ invariant: 'I12', subject: toHex(serial), problem });
  }
  return violations;
}

function isOpen(gate: string | null): boolean {
  if (gate === null) return false;
  const value: unknown = JSON.parse(gate);
  return (
    typeof value === 'object' &&
    value !== null &&
    'needed' in value &&
    'reached' in value &&
    value.needed === value.reached
  );
}
