import { sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import { CertificateError, parseCrl } from '../../pki/index.ts';
import type { Queries } from '../store/transaction.ts';
import { maxSubjects, type Rule, type Violation } from './rule.ts';

/** I14: what was revoked stays so, everywhere. */
export const revocationRules: readonly Rule[] = [
  {
    invariant: 'I14',
    problem: 'the revocation is in no entry of the feed',
    query: sql`
      select r.subject from revocation r
      where r.kind in ('certificate', 'agent') and not exists (
        select 1 from feed f where f.seq = r.feed_seq)
        -- Old entries are deleted.
        and (r.feed_seq < 1 or r.feed_seq >= coalesce((select min(seq) from feed), 0))`,
  },
  {
    invariant: 'I14',
    problem: 'the agent was revoked, and is not banned or retired',
    query: sql`
      select r.subject from revocation r
      join agent a on a.id = r.subject
      where r.kind = 'agent' and a.state not in ('banned', 'retired')`,
  },
  {
    invariant: 'I14',
    problem: 'the agent is banned or retired, and hosts were not told',
    query: sql`
      select a.id as subject from agent a
      where a.state in ('banned', 'retired') and not exists (
        select 1 from revocation r where r.kind = 'agent' and r.subject = a.id)`,
  },
  {
    invariant: 'I14',
    problem: 'the certificate was not revoked with its agent',
    query: sql`
      select c.serial as subject from certificate c
      join agent a on a.id = c.agent
      where a.state in ('banned', 'retired') and c.state <> 'void' and c.not_after > a.state_at
        and not exists (
          select 1 from revocation r where r.kind = 'certificate' and r.subject = c.serial)`,
  },
  {
    invariant: 'I14',
    problem: 'the token can be used, though it or its batch was revoked',
    query: sql`
      select t.id as subject from token t
      join revocation r on (r.kind = 'token' and r.subject = t.id)
        or (r.kind = 'batch' and r.subject = t.batch and t.created_at <= r.at)
      where t.state <> 'revoked'`,
  },
  {
    invariant: 'I14',
    problem: 'the revocation names another CA, or another end, than the certificate has',
    query: sql`
      select r.subject from revocation r
      left join certificate c on c.serial = r.subject
      where r.kind = 'certificate'
        and (c.serial is null or c.issuer <> r.issuer or c.not_after <> r.not_after)`,
  },
];

/** I14: each complete CRL lists everything that was revoked when it was made and had not ended. */
export async function checkCrls(queries: Queries): Promise<readonly Violation[]> {
  const violations: Violation[] = [];
  const crls = await queries
    .selectFrom('crl')
    .select(['issuer', 'number', 'this_update', 'feed_seq', 'der'])
    .where('base_number', 'is', null)
    .execute();
  for (const crl of crls) {
    const name = `${toHex(crl.issuer)}/${String(crl.number)}`;
    const found = (problem: string): number =>
      violations.push({ invariant: 'I14', subject: name, problem });
    let parsed;
    try {
      parsed = parseCrl(crl.der);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      found(`the CRL cannot be read: ${error.message}`);
      continue;
    }
    let missing = 0;
    let after: Uint8Array = new Uint8Array(0);
    for (;;) {
      const rows = await queries
        .selectFrom('revocation')
        .select('subject')
        .where('kind', '=', 'certificate')
        .where('issuer', '=', crl.issuer)
        .where('feed_seq', '<=', crl.feed_seq)
        .where('not_after', '>', crl.this_update)
        .where('subject', '>', after)
        .orderBy('subject')
        .limit(pageSize)
        .execute();
      for (const { subject } of rows) {
        if (parsed.revoked(subject) !== undefined) continue;
        missing += 1;
        if (missing <= maxSubjects) found(`the CRL does not list ${toHex(subject)}`);
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) break;
      after = last.subject;
    }
  }
  return violations;
}

const pageSize = 1000;
