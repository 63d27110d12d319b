import { equal } from '../../bytes/bytes.ts';
import type { Queries } from '../store/transaction.ts';
import { auditGenesis, auditHash } from './chain.ts';

/** What checking the chain of the audit log found. */
export type AuditVerdict =
  | { readonly ok: true; readonly entries: number; readonly head: Uint8Array }
  | {
      readonly ok: false;
      /** That were sound, before the first that is not. */
      readonly entries: number;
      readonly seq: number;
      readonly problem: string;
    };

/**
 * Recomputes every hash of the audit log, from the first entry to the newest. Who keeps `head`
 * elsewhere and compares it later also notices a log that was written anew from its start.
 */
export async function verifyAudit(
  queries: Queries,
  onProgress: (entries: number) => void = () => undefined,
): Promise<AuditVerdict> {
  let entries = 0;
  let head: Uint8Array = auditGenesis;
  for (;;) {
    const rows = await queries
      .selectFrom('audit')
      .selectAll()
      .where('seq', '>', entries)
      .orderBy('seq')
      .limit(pageSize)
      .execute();
    for (const row of rows) {
      const seq = entries + 1;
      const fault = (problem: string): AuditVerdict => ({ ok: false, entries, seq, problem });
      if (row.seq !== seq) return fault(`entry ${String(seq)} is missing`);
      if (!equal(row.previous_hash, head)) return fault('it does not continue the entry before it');
      if (!equal(row.hash, auditHash(row))) return fault('it was changed after it was written');
      entries = seq;
      head = row.hash;
    }
    onProgress(entries);
    if (rows.length < pageSize) break;
  }
  const counter = await queries
    .selectFrom('counter')
    .select('value')
    .where('name', '=', 'audit')
    .executeTakeFirst();
  // A log that grows while it is checked is ahead of what was read, never behind.
  if (counter !== undefined && counter.value > entries) {
    const next = await queries
      .selectFrom('audit')
      .select('seq')
      .where('seq', '=', entries + 1)
      .executeTakeFirst();
    if (next === undefined) {
      return { ok: false, entries, seq: entries + 1, problem: 'the newest entries are missing' };
    }
  }
  return { ok: true, entries, head };
}

const pageSize = 1000;
