import { createOffload, type IdentityStatus, type OffloadOptions } from '../../offload/index.ts';
import { formatTable, type OutputFormat, print, printable, printList } from '../terminal.ts';

/** Prints the identities of a running sidecar that the caller may use. */
export async function listIdentities(sidecar: OffloadOptions, format: OutputFormat): Promise<void> {
  const identities = await fetchIdentities(sidecar);
  printList(format, identities.map(toJson), [
    ['NAME', 'DEFAULT', 'READY', 'KEY', 'UNTIL', 'SPIFFE ID', 'DNS NAMES'],
    ...identities.map((identity) => [
      identity.name,
      identity.isDefault ? 'yes' : 'no',
      identity.ready ? 'yes' : 'no',
      identity.keyType,
      identity.notAfter?.toISOString() ?? '',
      printable(identity.spiffeId ?? ''),
      printable(identity.dnsNames.join(', ')),
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
  const facts = toJson(identity);
  if (format === 'json') {
    print(JSON.stringify(facts, null, 2));
    return;
  }
  print(formatTable(Object.entries(facts).map(([key, value]) => [key, printable(String(value))])));
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
