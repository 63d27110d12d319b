import { randomUUID } from 'node:crypto';
import {
  AdministrationServiceService as Administration,
  type CertificateRecord,
  type ListCertificatesRequest,
} from '../../gen/sidekey/v1/administration.ts';
import { encodePem } from '../../pki/index.ts';
import { type OutputFormat, print, printable, printList } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { formatHex, formatUuid } from './identifiers.ts';
import { toJson } from './json.ts';
import { readPages } from './pages.ts';
import { formatMoment, printFacts } from './print.ts';
import { tellMore } from './tokens.ts';

/** What certificates to list; what is absent does not matter. */
export interface CertificateFilter {
  readonly agent: Buffer | undefined;
  readonly state: string | undefined;
  /** Ends within so many seconds, or has ended. */
  readonly endsWithinSeconds: number | undefined;
}

export async function listCertificates(
  client: AuthorityClient,
  filter: CertificateFilter,
  limit: number,
  format: OutputFormat,
): Promise<void> {
  const { endsWithinSeconds } = filter;
  const listed = await readPages(
    limit,
    (pageSize, pageToken) =>
      client.call(Administration.listCertificates, {
        ...everyCertificate,
        agentId: filter.agent ?? Buffer.alloc(0),
        state: filter.state ?? '',
        endsBefore:
          endsWithinSeconds === undefined
            ? undefined
            : new Date(Date.now() + endsWithinSeconds * 1000),
        pageSize,
        pageToken,
      }),
    ({ certificates }) => certificates,
  );
  printList(format, listed.items.map(certificateJson), [
    ['SERIAL', 'STATE', 'PURPOSE', 'UNTIL', 'SPIFFE ID'],
    ...listed.items.map((certificate) => [
      formatHex(certificate.serial),
      certificate.state,
      certificate.purpose,
      formatMoment(certificate.notAfter),
      printable(certificate.spiffeId),
    ]),
  ]);
  tellMore(listed);
}

/** @throws if there is no such certificate */
export async function showCertificate(
  client: AuthorityClient,
  serial: Buffer,
  format: OutputFormat,
): Promise<void> {
  const { certificates } = await client.call(Administration.listCertificates, {
    ...everyCertificate,
    serial,
    pageSize: 1,
  });
  const [certificate] = certificates;
  if (certificate === undefined) throw new Error(`there is no certificate ${formatHex(serial)}`);
  if (format === 'json') {
    print(JSON.stringify(certificateJson(certificate), null, 2));
    return;
  }
  printFacts([
    ['serial', formatHex(certificate.serial)],
    ['state', certificate.state],
    ['purpose', certificate.purpose],
    ['SPIFFE ID', certificate.spiffeId],
    ['agent', certificate.agentId.length === 0 ? '' : formatUuid(certificate.agentId)],
    ['valid from', formatMoment(certificate.notBefore)],
    ['valid until', formatMoment(certificate.notAfter)],
    [
      'revoked',
      certificate.revokedAt === undefined
        ? ''
        : `${formatMoment(certificate.revokedAt)}: ${certificate.revokedWhy}`,
    ],
    ['token', formatHex(certificate.tokenId)],
    ['policy', certificate.policy],
    ['issuer', formatHex(certificate.issuer)],
  ]);
  if (certificate.der.length > 0) {
    print(Buffer.from(encodePem('CERTIFICATE', certificate.der)).toString('latin1').trimEnd());
  }
}

/** One certificate; its host may renew with what else it has, see `agents revoke`. */
export async function revokeCertificate(
  client: AuthorityClient,
  serial: Buffer,
  reason: string,
  comment: string,
  format: OutputFormat,
): Promise<void> {
  const answer = await client.call(Administration.revoke, {
    idempotencyKey: randomUUID(),
    subject: { $case: 'serial', value: serial },
    reason,
    comment,
  });
  if (format === 'json') print(JSON.stringify(toJson(answer), null, 2));
  else if (answer.certificates === 0) print('was revoked before');
  else print(`revoked; hosts that acknowledge ${String(answer.feedSequence)} know`);
}

function certificateJson(certificate: CertificateRecord): Readonly<Record<string, unknown>> {
  const { agentId, der, ...rest } = certificate;
  return {
    ...toJson(rest),
    ...(agentId.length === 0 ? {} : { agentId: formatUuid(agentId) }),
    ...(der.length === 0 ? {} : { der: der.toString('base64') }),
  };
}

const everyCertificate: ListCertificatesRequest = {
  serial: Buffer.alloc(0),
  agentId: Buffer.alloc(0),
  state: '',
  endsBefore: undefined,
  pageSize: 0,
  pageToken: '',
};
