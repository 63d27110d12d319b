import { auditPage, managerStatus } from '../../apps/fleet/admin-api/messages.ts';
import { counted, printFacts } from '../authority/print.ts';
import { type OutputFormat, print, printable, printList } from '../terminal.ts';
import type { FleetClient } from './client.ts';

/** Everything at a glance. Answers whether nothing is wrong. */
export async function showManager(client: FleetClient, format: OutputFormat): Promise<boolean> {
  const now = await client.call({ method: 'GET', path: '/v1/manager' }, managerStatus);
  const healthy = now.problems.length === 0;
  if (format === 'json') {
    print(JSON.stringify(now, null, 2));
    return healthy;
  }
  const { sweep } = now;
  printFacts([
    ['manager', now.spiffeId ?? ''],
    ['version', now.version],
    ['since', `${now.startedAt.slice(0, 19)}Z`],
    ['agents dial', now.listening],
    ...Object.entries(now.states).map(([state, count]) => [state, String(count)] as const),
    ['connected', String(now.connected)],
    [
      'last sweep',
      sweep.lastDurationMs === undefined
        ? ''
        : `${(sweep.lastDurationMs / 1000).toFixed(1)} s, p99 ${(sweep.p99Ms ?? 0).toFixed(1)} ms, ${counted(sweep.missed, 'heartbeat')} missed`,
    ],
    ...now.problems.map((problem) => ['problem', problem] as const),
  ]);
  return healthy;
}

/** What administrators did, newest first. */
export async function listFleetAudit(
  client: FleetClient,
  { after, limit }: { readonly after: number; readonly limit: number },
  format: OutputFormat,
): Promise<void> {
  const path = `/v1/audit?after=${String(after)}&limit=${String(Math.min(limit, 1000))}`;
  const { entries } = await client.call({ method: 'GET', path }, auditPage);
  printList(format, entries, [
    ['SEQ', 'AT', 'ACTOR', 'ACTION', 'SUBJECT', 'DETAILS'],
    ...entries.map((entry) => [
      String(entry.seq),
      `${entry.at.slice(0, 19)}Z`,
      printable(entry.actor),
      printable(entry.action),
      printable(entry.subject),
      printable(entry.details),
    ]),
  ]);
}
