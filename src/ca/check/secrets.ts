import { sql } from 'kysely';
import type { Rule } from './rule.ts';

/** I19: neither private keys nor tokens are in what is kept. */
export const secretRules: readonly Rule[] = (
  [
    ['audit', 'seq', 'details'],
    ['audit', 'seq', 'subject'],
    ['idempotency', 'key', 'outcome'],
    ['agent', 'id', 'report'],
    ['agent', 'id', 'properties'],
    ['token', 'id', 'properties'],
    ['feed', 'seq', 'payload'],
    ['policy', 'name', 'document'],
  ] as const
).map(([table, subject, column]) => ({
  invariant: 'I19',
  problem: `the ${column} in table ${table} holds a token or a private key`,
  query: sql`
    select ${sql.ref(subject)} as subject from ${sql.table(table)}
    where ${sql.ref(column)} like '%sk1.%' or ${sql.ref(column)} like '%PRIVATE KEY%'`,
}));
