import { sql } from 'kysely';
import type { Rule } from './rule.ts';

/** I1, I2, I6 and I8: what tokens were used for. */
export const tokenRules: readonly Rule[] = [
  {
    invariant: 'I1',
    problem: 'the uses of the token are not its redemptions, or exceed its cap',
    query: sql`
      select t.id as subject from token t
      left join (
        select token, count(*) as uses, max(slot) as last_slot from redemption group by token
      ) r on r.token = t.id
      where t.uses <> coalesce(r.uses, 0) or t.uses > t.cap or r.last_slot >= t.cap`,
  },
  {
    invariant: 'I1',
    problem: 'as many agents came from the token as it has no uses for',
    query: sql`
      select t.id as subject from token t
      where t.kind = 'enroll'
        and t.uses <> (select count(*) from agent a where a.source_token = t.id)`,
  },
  {
    invariant: 'I1',
    problem: 'the agent has no redemption of the token it came from',
    query: sql`
      select a.id as subject from agent a
      where not exists (
        select 1 from redemption r where r.token = a.source_token and r.agent = a.id)`,
  },
  {
    invariant: 'I2',
    problem: 'what the token was redeemed for is not a certificate for that key',
    query: sql`
      select r.token as subject from redemption r
      left join certificate c on c.serial = r.serial
      where c.serial is null or c.der is null or c.purpose <> 'tls'
        or c.token is distinct from r.token or c.agent is distinct from r.agent
        or c.key_hash <> r.key_hash`,
  },
  {
    invariant: 'I2',
    problem: 'the certificate came without a renewal token, which a retry would have to get again',
    query: sql`
      select c.serial as subject from certificate c
      where c.agent is not null and c.purpose = 'tls' and c.der is not null
        and not exists (
          select 1 from token t where t.kind = 'renew' and t.agent = c.agent
            and t.generation = c.agent_generation)`,
  },
  {
    invariant: 'I6',
    problem: 'the certificate was issued for a token that did not hold then',
    query: sql`
      select c.serial as subject from certificate c
      join token t on t.id = c.token
      where c.agent is not null and c.purpose in ('tls', 'decryption')
        and (c.issued_at < t.created_at or c.issued_at >= t.expires_at
          or c.issued_at > t.revoked_at)`,
  },
  {
    invariant: 'I6',
    problem: 'the certificate was issued without a token',
    query: sql`
      select c.serial as subject from certificate c
      where c.agent is not null and c.token is null`,
  },
  {
    invariant: 'I6',
    problem: 'the certificate was issued for a token that was not redeemed for it',
    query: sql`
      select c.serial as subject from certificate c
      where c.agent is not null and c.purpose = 'tls' and c.der is not null
        and not exists (select 1 from redemption r where r.serial = c.serial)`,
  },
  {
    invariant: 'I8',
    problem: 'the renewal token can be spent, though its agent has another generation',
    query: sql`
      select t.id as subject from token t
      left join agent a on a.id = t.agent
      where t.kind = 'renew' and t.state = 'active' and t.uses = 0
        and a.generation is distinct from t.generation`,
  },
  {
    invariant: 'I8',
    problem: 'the agent has more than one renewal token for one generation',
    query: sql`
      select t.agent as subject from token t where t.kind = 'renew'
      group by t.agent, t.generation having count(*) > 1`,
  },
];
