import { createOffload, type IdentityStatus, type OffloadOptions } from '../../offload/index.ts';
import { parseCertificate } from '../../pki/index.ts';
import { reportCertificate } from '../connection-report.ts';
import { formatTable, type OutputFormat, print, printable, printList } from '../terminal.ts';

/** Prints the identities of a running sidecar that the caller may use. */
export async function listIdentities(sidecar: OffloadOptions, format: OutputFormat): Promise<void> {
  const identities = await fetchIdentities(sidecar);
  printList(format, identities.map(toJson), [
    ['NAME', 'DEFAULT', 'READY', 'KEY', 'UNTIL', 'SPIFFE ID', 'DNS NAMES', 'PUBLIC KEY'],
    ...identities.map((identity) => [
      identity.name,
      identity.isDefault ? 'yes' : 'no',
      identity.ready ? 'yes' : 'no',
      identity.keyType,
      identity.notAfter?.toISOString() ?? '',
      printable(identity.spiffeId ?? ''),
      printable(identity.dnsNames.join(', ')),
      identity.publicKeyHash ?? '',
    ]),
  ]);
}

/**
 * Prints everything about one identity.
 *
 * @throws if there is none of that name that the caller may use
 */
export async function showIdentity(
  name: string,
  sidecar: OffloadOptions,
  format: OutputFormat,
): Promise<void> {
  const identity = (await fetchIdentities(sidecar)).find((candidate) => candidate.name === name);
  if (identity === undefined) {
    throw new Error(`the sidecar has no identity "${name}" that this caller may use`);
  }
  if (format === 'json') {
    print(JSON.stringify(toJson(identity), null, 2));
    return;
  }
  const rows = [
    ['name', identity.name],
    ['default', identity.isDefault ? 'yes' : 'no'],
    ['ready', identity.ready ? 'yes' : 'no'],
    ['problem', identity.problem ?? 'none'],
    ['key', identity.keyType],
    ['SPIFFE ID', identity.spiffeId ?? 'none'],
    ['DNS names', identity.dnsNames.join(', ') || 'none'],
    ['valid from', identity.notBefore?.toISOString() ?? 'unknown'],
    ['valid until', identity.notAfter?.toISOString() ?? 'unknown'],
    ['public key', identity.publicKeyHash ?? 'none'],
    ...(identity.bootstrap === undefined
      ? []
      : [
          [
            'until',
            `${identity.bootstrap.until} enrols${identity.bootstrap.closed ? ', which it has' : ''}`,
          ],
        ]),
    ['SHA-256', Buffer.from(identity.fingerprint).toString('hex')],
    ...identity.certificates.map((der, depth) => {
      const { subject, issuer } = reportCertificate(parseCertificate(der));
      return [`certificate ${String(depth)}`, `${subject || '(empty)'}, issued by ${issuer}`];
    }),
  ];
  print(formatTable(rows.map((row) => row.map(printable))));
}

async function fetchIdentities(sidecar: OffloadOptions): Promise<readonly IdentityStatus[]> {
  const offload = createOffload(sidecar);
  try {
    const { identities } = await offload.listIdentities();
    return identities;
  } finally {
    await offload.close();
  }
}

/** Stable names for programs; what is not there is left out. */
function toJson(identity: IdentityStatus): Readonly<Record<string, unknown>> {
  return {
    name: identity.name,
    default: identity.isDefault,
    ready: identity.ready,
    ...(identity.problem === undefined ? {} : { problem: identity.problem }),
    keyType: identity.keyType,
    ...(identity.spiffeId === undefined ? {} : { spiffeId: identity.spiffeId }),
    dnsNames: identity.dnsNames,
    ...(identity.publicKeyHash === undefined ? {} : { publicKeyHash: identity.publicKeyHash }),
    ...(identity.bootstrap === undefined ? {} : { bootstrap: identity.bootstrap }),
    fingerprint256: Buffer.from(identity.fingerprint).toString('hex'),
    ...(identity.notBefore === undefined ? {} : { notBefore: identity.notBefore.toISOString() }),
    ...(identity.notAfter === undefined ? {} : { notAfter: identity.notAfter.toISOString() }),
    chain: identity.certificates.map((der) => reportCertificate(parseCertificate(der))),
  };
}
