import { sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import { uuidText } from '../issue/ids.ts';
import { readMeta } from '../store/meta.ts';
import type { Queries } from '../store/transaction.ts';
import type { Rule, Violation } from './rule.ts';

/** I5, I7, I8 and I9: agents and the chains of their certificates. */
export const agentRules: readonly Rule[] = [
  {
    invariant: 'I5',
    problem: 'the certificate was issued to an agent that was written off',
    query: sql`
      select c.serial as subject from certificate c
      join agent a on a.id = c.agent
      where a.state in ('banned', 'quarantined', 'retired') and c.issued_at > a.state_at`,
  },
  {
    invariant: 'I7',
    problem: 'the certificate has another role than its agent',
    query: sql`
      select c.serial as subject from certificate c
      join agent a on a.id = c.agent where c.role is distinct from a.role`,
  },
  {
    invariant: 'I7',
    problem: 'the token has another role than the agent it came from or is for',
    query: sql`
      select t.id as subject from token t
      join agent a on a.id = t.agent or a.source_token = t.id where t.role <> a.role`,
  },
  {
    invariant: 'I7',
    problem: 'the token is for an agent that does not exist',
    query: sql`
      select t.id as subject from token t
      where t.agent is not null and not exists (select 1 from agent a where a.id = t.agent)`,
  },
  {
    invariant: 'I8',
    problem: 'the generation of the agent is not that of its newest certificate',
    query: sql`
      select a.id as subject from agent a
      where a.generation is distinct from (
        select max(c.agent_generation) from certificate c
        where c.agent = a.id and c.purpose = 'tls' and c.state <> 'void')`,
  },
  {
    invariant: 'I8',
    problem: 'the certificate does not follow the one of the generation before it',
    query: sql`
      select c.serial as subject from certificate c
      where c.agent is not null and c.purpose = 'tls' and c.state <> 'void'
        and (c.agent_generation > 1) <> (
          c.replaces is not null and exists (
            select 1 from certificate p where p.serial = c.replaces and p.agent = c.agent
              and p.purpose = 'tls' and p.agent_generation < c.agent_generation))`,
  },
  {
    invariant: 'I9',
    problem: 'the agent is left without its certificate in use',
    query: sql`
      select a.id as subject from agent a
      left join certificate c on c.serial = a.current_serial
      where c.serial is null or c.agent is distinct from a.id or c.purpose <> 'tls'
        or c.state not in ('issued', 'confirmed')`,
  },
  {
    invariant: 'I9',
    problem: 'the agent waits for a certificate that is not to be confirmed',
    query: sql`
      select a.id as subject from agent a
      left join certificate c on c.serial = a.pending_serial
      where a.pending_serial is not null
        and (c.serial is null or c.agent is distinct from a.id or c.state <> 'issued')`,
  },
  {
    invariant: 'I9',
    problem: 'the certificate was superseded, though none after it was seen in use',
    query: sql`
      select c.serial as subject from certificate c
      where c.state = 'superseded' and not exists (
        select 1 from certificate n
        where n.agent = c.agent and n.purpose = 'tls'
          and n.agent_generation > c.agent_generation
          and n.state in ('confirmed', 'superseded'))`,
  },
];

/** I7: names say what agents are. */
export async function checkAgentNames(queries: Queries): Promise<readonly Violation[]> {
  const { trustDomain } = await readMeta(queries);
  const violations: Violation[] = [];
  let after: Uint8Array = new Uint8Array(0);
  for (;;) {
    const rows = await queries
      .selectFrom('agent')
      .select(['id', 'role', 'spiffe_id'])
      .where('id', '>', after)
      .orderBy('id')
      .limit(pageSize)
      .execute();
    for (const { id, role, spiffe_id: name } of rows) {
      if (name === `spiffe://${trustDomain}/${role}/${uuidText(id)}`) continue;
      violations.push({
        invariant: 'I7',
        subject: toHex(id),
        problem: `the agent is named ${name}, which is not its role and id`,
      });
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return violations;
    after = last.id;
  }
}

const pageSize = 1000;
