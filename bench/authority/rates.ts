import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuthorityLink } from '../../src/identity/authority-link.ts';
import { measureRate, type Rate } from './in-flight.ts';
import {
  confirm,
  enroll,
  type HostKeys,
  makeHosts,
  openLink,
  type PreparedRenewal,
  prepareRenewal,
  renew,
  type SimulatedHost,
} from './simulated-hosts.ts';
import { type MeasuredAuthority, sidekey } from './stage.ts';

export interface MintedHosts {
  readonly hosts: SimulatedHost[];
  /** Of their tokens. */
  readonly batch: Buffer;
  readonly mintSeconds: number;
}

/** Mints bundles by the command, and makes the hosts that will use them. */
export function mintHosts(
  authority: MeasuredAuthority,
  count: number,
  keys?: HostKeys,
): MintedHosts {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-bench-bundles-'));
  try {
    const began = performance.now();
    const printed = sidekey([
      ...['token', 'create', '--role', 'service', '--count', String(count)],
      ...['--out', join(directory, 'out'), '--authority', authority.administration],
    ]);
    const mintSeconds = (performance.now() - began) / 1000;
    const batch = Buffer.from(/^batch ([0-9a-f]+)$/mu.exec(printed)?.[1] ?? '', 'hex');
    return { hosts: makeHosts(join(directory, 'out'), keys), batch, mintSeconds };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Connections that stay open, shared by all hosts: as many as calls in flight, at most eight. */
export async function withLinks<T>(
  hosts: readonly SimulatedHost[],
  inFlight: number,
  work: (next: () => AuthorityLink) => Promise<T>,
): Promise<T> {
  const [first] = hosts;
  if (first === undefined) throw new RangeError('no hosts');
  const links = Array.from({ length: Math.min(inFlight, 8) }, () => openLink(first.bundle));
  let turn = 0;
  const next = (): AuthorityLink => {
    const link = links[(turn += 1) % links.length];
    if (link === undefined) throw new RangeError('no links');
    return link;
  };
  try {
    return await work(next);
  } finally {
    await Promise.all(links.map((link) => link.close()));
  }
}

export async function measureEnrolments(
  hosts: readonly SimulatedHost[],
  inFlight: number,
): Promise<Rate> {
  return await withLinks(hosts, inFlight, (link) =>
    measureRate(hosts, inFlight, (host) => enroll(host, link())),
  );
}

/** Every host with a connection, and so a handshake, of its own. */
export async function measureSeparateEnrolments(
  hosts: readonly SimulatedHost[],
  inFlight: number,
): Promise<Rate> {
  return await measureRate(hosts, inFlight, async (host) => {
    const link = openLink(host.bundle);
    try {
      await enroll(host, link);
    } finally {
      await link.close();
    }
  });
}

/** Confirms the certificates of hosts, as each does once, and makes what they will renew with. */
export async function prepareRenewals(
  hosts: readonly SimulatedHost[],
  inFlight: number,
): Promise<readonly PreparedRenewal[]> {
  await withLinks(hosts, inFlight, (link) =>
    measureRate(hosts, inFlight, (host) => confirm(host, link())),
  );
  return await Promise.all(hosts.map(prepareRenewal));
}

export async function measureRenewals(
  prepared: readonly PreparedRenewal[],
  inFlight: number,
): Promise<Rate> {
  const hosts = prepared.map(({ host }) => host);
  return await withLinks(hosts, inFlight, (link) =>
    measureRate(prepared, inFlight, (renewal) => renew(renewal, link())),
  );
}
