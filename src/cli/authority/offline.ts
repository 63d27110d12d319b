import { createHash } from 'node:crypto';
import {
  checkStore,
  makeAuthority,
  readAuthorityConfig,
  restoreAuthority,
  type RestoreRequest,
} from '../../apps/authority/offline.ts';
import { dangerousEnvironment } from '../../apps/sidecar/environment.ts';
import { AdministrationServiceService as Administration } from '../../gen/sidekey/v1/administration.ts';
import { formatTable, type OutputFormat, print, printable } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { counted, formatMoment, printFacts } from './print.ts';

/**
 * Makes an authority as a configuration describes it, and tells what hosts will trust.
 *
 * @throws if there is one already, or where others could read the keys while they are made
 */
export async function initAuthority(configFile: string, format: OutputFormat): Promise<void> {
  const dangers = dangerousEnvironment({
    environment: process.env,
    nodeOptions: process.execArgv,
  });
  if (dangers.length > 0) throw new Error(`refusing to make keys: ${dangers.join('; ')}`);
  const config = readAuthorityConfig(configFile);
  const made = await makeAuthority(config);
  const fingerprint = createHash('sha256').update(made.root).digest('hex');
  if (format === 'json') {
    const generations = made.generations.map(({ kind, number, certificate }) => ({
      kind,
      number,
      notAfter: certificate.notAfter.toISOString(),
    }));
    const { trustDomain, epoch } = made;
    print(
      JSON.stringify({ trustDomain, epoch, rootFingerprint256: fingerprint, generations }, null, 2),
    );
    return;
  }
  printFacts([
    ['trust domain', made.trustDomain],
    ['state', config.state],
    ...made.generations.map(
      ({ kind, certificate }) =>
        [`${kind} CA`, `until ${formatMoment(certificate.notAfter)}`] as const,
    ),
    ['root SHA-256', fingerprint],
  ]);
}

interface Violation {
  readonly invariant: string;
  readonly subject: string;
  readonly problem: string;
}

/** Checks a store that nobody uses. Answers whether everything holds. */
export async function checkOffline(configFile: string, format: OutputFormat): Promise<boolean> {
  return tellViolations(await checkStore(readAuthorityConfig(configFile)), format);
}

/** Has a running authority check its own store. Answers whether everything holds. */
export async function checkOnline(client: AuthorityClient, format: OutputFormat): Promise<boolean> {
  const { violations } = await client.call(Administration.checkInvariants, {});
  return tellViolations(violations, format);
}

/** Accepts a store that was restored, from `from` or by other tools. */
export async function restore(
  configFile: string,
  request: RestoreRequest,
  format: OutputFormat,
): Promise<void> {
  const restored = await restoreAuthority(readAuthorityConfig(configFile), request);
  if (format === 'json') print(JSON.stringify(restored, null, 2));
  else print(`epoch ${restored.epoch} follows ${restored.previousEpoch}`);
}

function tellViolations(violations: readonly Violation[], format: OutputFormat): boolean {
  const holds = violations.length === 0;
  if (format === 'json') print(JSON.stringify({ holds, violations }, null, 2));
  else if (holds) print('everything holds');
  else {
    print(
      formatTable([
        ['INVARIANT', 'SUBJECT', 'PROBLEM'],
        ...violations.map(({ invariant, subject, problem }) =>
          [invariant, subject, problem].map(printable),
        ),
      ]),
    );
    print(counted(violations.length, 'violation'));
  }
  return holds;
}
