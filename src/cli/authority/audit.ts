import {
  AdministrationServiceService as Administration,
  type AuditEntry,
} from '../../gen/sidekey/v1/administration.ts';
import { type OutputFormat, print, printable, printList } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { formatHex } from './identifiers.ts';
import { toJson } from './json.ts';
import { formatMoment } from './print.ts';

export interface AuditFilter {
  /** Entries behind this number. */
  readonly after: number;
  readonly subject: string;
  readonly action: string;
}

/** The audit log, oldest first. */
export async function listAudit(
  client: AuthorityClient,
  filter: AuditFilter,
  limit: number,
  format: OutputFormat,
): Promise<void> {
  const entries: AuditEntry[] = [];
  while (entries.length < limit) {
    const pageSize = Math.min(limit - entries.length, maxPageSize);
    const page = await client.call(Administration.listAudit, {
      afterSeq: entries.at(-1)?.seq ?? BigInt(filter.after),
      subject: filter.subject,
      action: filter.action,
      pageSize,
    });
    entries.push(...page.entries);
    if (page.entries.length < pageSize) break;
  }
  printList(format, entries.map(entryJson), [
    ['SEQ', 'AT', 'ACTOR', 'ACTION', 'SUBJECT', 'OUTCOME', 'DETAILS'],
    ...entries.map((entry) =>
      [
        String(entry.seq),
        formatMoment(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.outcome,
        entry.details === '{}' ? '' : entry.details,
      ].map(printable),
    ),
  ]);
}

/**
 * Has the authority compute the whole chain of hashes again.
 *
 * @returns whether it holds
 */
export async function verifyAudit(client: AuthorityClient, format: OutputFormat): Promise<boolean> {
  const answer = await client.call(Administration.verifyAudit, {});
  const holds = answer.problem === '';
  if (format === 'json') print(JSON.stringify({ holds, ...toJson(answer) }, null, 2));
  else if (holds) print(`${String(answer.entries)} entries, head ${formatHex(answer.head)}`);
  else print(printable(`broken after ${String(answer.entries)} entries: ${answer.problem}`));
  return holds;
}

function entryJson(entry: AuditEntry): Readonly<Record<string, unknown>> {
  const details: unknown = JSON.parse(entry.details);
  return { ...toJson(entry), details };
}

const maxPageSize = 1000;
