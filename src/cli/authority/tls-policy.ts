import { randomUUID } from 'node:crypto';
import {
  AdministrationServiceService as Administration,
  type ComponentListener,
  type TlsPolicyBlocker,
} from '../../gen/sidekey/v1/administration.ts';
import type { TlsPolicy } from '../../gen/sidekey/v1/certificate_authority.ts';
import { formatTable, type OutputFormat, print, printable } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';
import { readPages } from './pages.ts';
import { formatMoment } from './print.ts';
import { tellMore } from './tokens.ts';

/** The floors in force. */
export async function showTlsPolicy(client: AuthorityClient, format: OutputFormat): Promise<void> {
  const { policy } = await client.call(Administration.getTlsPolicy, {
    ...nothing,
    pageSize: 1,
    pageToken: '',
  });
  printPolicy(policy, format);
}

export interface FloorChange {
  /** Absent: of a listener, as everywhere. */
  readonly minVersion: string | undefined;
  readonly listener: string | undefined;
  readonly force: boolean;
  readonly reason: string;
}

export async function setTlsPolicy(
  client: AuthorityClient,
  change: FloorChange,
  format: OutputFormat,
): Promise<void> {
  const { policy } = await client.call(Administration.setTlsPolicy, {
    idempotencyKey: randomUUID(),
    listener: change.listener ?? '',
    minVersion: change.minVersion ?? '',
    force: change.force,
    reason: change.reason,
  });
  printPolicy(policy, format);
}

/**
 * Every listener of every component as it reports itself, who tried less, and with `tried` who would be
 * cut off by that floor.
 */
export async function reportTls(
  client: AuthorityClient,
  tried: { readonly minVersion: string; readonly listener: string },
  limit: number,
  format: OutputFormat,
): Promise<void> {
  let blockers: readonly TlsPolicyBlocker[] = [];
  let blockersTotal = 0;
  const listed = await readPages(
    limit,
    async (pageSize, pageToken) => {
      const request = pageToken === '' ? tried : nothing;
      const answer = await client.call(Administration.getTlsPolicy, {
        ...request,
        pageSize,
        pageToken,
      });
      if (pageToken === '') {
        blockers = answer.blockers;
        blockersTotal = Number(answer.blockersTotal);
      }
      return answer;
    },
    ({ listeners }) => listeners,
  );
  if (format === 'json') {
    const report = {
      listeners: listed.items.map((item) => toJson(item)),
      wouldBeCutOff: blockers.map((blocker) => toJson(blocker)),
      wouldBeCutOffTotal: blockersTotal,
    };
    print(JSON.stringify(report, null, 2));
  } else {
    printListeners(listed.items);
    printBlockers(tried.minVersion, blockers, blockersTotal);
  }
  tellMore(listed);
}

function printPolicy(policy: TlsPolicy | undefined, format: OutputFormat): void {
  if (policy === undefined) throw new Error('the authority did not say what holds');
  if (format === 'json') {
    print(JSON.stringify(toJson(policy), null, 2));
    return;
  }
  print(
    formatTable([
      ['LISTENER', 'MIN VERSION', 'FROM'],
      ['(all others)', policy.minVersion, policy.version === 0n ? 'default' : 'policy'],
      ...Object.entries(policy.listeners).map(([name, version]) => [name, version, 'policy']),
    ]),
  );
  if (policy.version > 0n) print(`policy version ${String(policy.version)}`);
}

function printListeners(listeners: readonly ComponentListener[]): void {
  const known = listeners.flatMap(({ component, listener, reportedAt }) =>
    listener === undefined ? [] : [{ component, listener, reportedAt }],
  );
  print(
    formatTable([
      ['COMPONENT', 'LISTENER', 'ADDRESS', 'MIN', 'MAX', 'FROM', 'REPORTED'],
      ...known.map(({ component, listener, reportedAt }) =>
        [
          component,
          listener.name,
          listener.address,
          listener.minVersion === '' ? 'no TLS' : listener.minVersion,
          listener.maxVersion,
          listener.source,
          formatMoment(reportedAt),
        ].map(printable),
      ),
    ]),
  );
  const attempts = known.flatMap(({ component, listener }) =>
    listener.attempts.map((attempt) =>
      [attempt.peer, attempt.offered, String(attempt.count), component, listener.name].map(
        printable,
      ),
    ),
  );
  if (attempts.length === 0) return;
  print();
  print(formatTable([['REFUSED PEER', 'OFFERED', 'TIMES', 'BY', 'LISTENER'], ...attempts]));
}

function printBlockers(
  minVersion: string,
  blockers: readonly TlsPolicyBlocker[],
  total: number,
): void {
  if (minVersion === '') return;
  print();
  if (total === 0) {
    print(`${minVersion} would cut off nobody`);
    return;
  }
  print(`${minVersion} would cut off ${String(total)}:`);
  for (const { component, listener, why } of blockers) {
    print(printable(`  ${listener === '' ? component : `${component} (${listener})`} ${why}`));
  }
  if (total > blockers.length) print(`  and ${String(total - blockers.length)} more`);
}

const nothing = { minVersion: '', listener: '' };
