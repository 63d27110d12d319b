import {
  AdministrationServiceService as Administration,
  type GetStatusResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { formatTable, type OutputFormat, print, printable } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';
import { formatMoment, printFacts } from './print.ts';

/**
 * The authority at a glance.
 *
 * @returns whether it issues certificates now
 */
export async function showStatus(client: AuthorityClient, format: OutputFormat): Promise<boolean> {
  const status = await client.call(Administration.getStatus, {});
  if (format === 'json') print(JSON.stringify(toJson(status), null, 2));
  else printStatus(status);
  return status.problems.length === 0;
}

function printStatus(status: GetStatusResponse): void {
  const agents = Object.entries(status.agentsByState)
    .map(([state, count]) => `${String(count)} ${state}`)
    .join(', ');
  printFacts([
    ['trust domain', status.trustDomain],
    ['issuing', status.problems.length === 0 ? 'yes' : `no: ${status.problems.join('; ')}`],
    ['enrolment', status.enrolmentMode],
    ['store', `${status.store}, epoch ${status.epoch}`],
    ['keys', status.keyManager],
    ['version', status.version],
    ['clock', formatMoment(status.serverTime)],
    ['agents', agents === '' ? 'none' : agents],
    [
      'certificates',
      `${String(status.certificatesLive)} live, ${String(status.certificatesRevoked)} revoked`,
    ],
    ['usable tokens', String(status.tokensUsable)],
    ['trust bundle', String(status.bundleSequence)],
    ['feed', String(status.feedSequence)],
  ]);
  print();
  print(
    formatTable([
      ['KIND', 'NUMBER', 'STATE', 'UNTIL', 'DEPEND ON IT'],
      ...status.generations.map((generation) => [
        generation.kind,
        String(generation.number),
        generation.state,
        formatMoment(generation.notAfter),
        String(generation.liveCertificates),
      ]),
    ]),
  );
  if (status.replicas.length === 0) return;
  print();
  print(
    formatTable([
      ['REPLICA', 'VERSION', 'HEARD OF', 'SIGNS WITH', 'FEED'],
      ...status.replicas.map((replica) => [
        printable(replica.id),
        printable(replica.version),
        formatMoment(replica.heartbeatAt),
        `issuing ${String(replica.issuingGeneration)}`,
        String(replica.feedSequence),
      ]),
    ]),
  );
}
