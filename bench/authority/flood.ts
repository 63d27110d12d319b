import { fork } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { quantile } from '../statistics.ts';
import type { FloodOrder, FloodReport } from './flooder.ts';
import type { Quantiles } from './followers.ts';
import { measureEnrolments, mintHosts } from './rates.ts';
import {
  credentialOf,
  openLink,
  prepareRenewal,
  renew,
  type SimulatedHost,
} from './simulated-hosts.ts';
import type { MeasuredAuthority } from './stage.ts';

export interface Renewals extends Quantiles {
  readonly failed: number;
}

export interface Flood {
  readonly report: FloodReport;
  readonly quiet: Renewals;
  /** In the first ten seconds of the flood. */
  readonly first: Renewals;
  /** In the next. */
  readonly flooded: Renewals;
  /** CPU time of the authority while it was flooded, in cores. */
  readonly cores: number;
}

/**
 * Hosts renew, twenty per second, over connections of their own; then once more, while a process of
 * its own sends tokens that nobody signed, from many addresses.
 */
export async function measureFlood(
  authority: MeasuredAuthority,
  perSecond: number,
): Promise<Flood> {
  const { hosts } = mintHosts(authority, renewals * 3);
  await measureEnrolments(hosts, 16);
  const some = hosts[0];
  if (some === undefined) throw new RangeError('no hosts');
  const quiet = await renewSteadily(hosts.slice(0, renewals));
  const flooder = fork(fileURLToPath(new URL('./flooder.ts', import.meta.url)));
  try {
    flooder.send(orderOf(some, perSecond));
    await once(flooder, 'message');
    // The first thousands are looked at; what holds is what comes after them.
    const first = await renewSteadily(hosts.slice(renewals, renewals * 2));
    const [cpuMs, began] = [authority.cpuMs(), performance.now()];
    const flooded = await renewSteadily(hosts.slice(renewals * 2));
    const cores = (authority.cpuMs() - cpuMs) / (performance.now() - began);
    flooder.send('stop');
    const [report] = (await once(flooder, 'message')) as [FloodReport];
    return { report, quiet, first, flooded, cores };
  } finally {
    flooder.kill('SIGKILL');
  }
}

function orderOf({ bundle }: SimulatedHost, perSecond: number): FloodOrder {
  const { addresses, token, credential } = bundle;
  return {
    address: addresses[0] ?? '',
    token,
    key: credential.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    chain: credential.chain.map((der) => new X509Certificate(der).toString()).join(''),
    perSecond,
  };
}

async function renewSteadily(hosts: readonly SimulatedHost[]): Promise<Renewals> {
  const prepared = await Promise.all(hosts.map(prepareRenewal));
  const links = hosts.map((host) => openLink(host.bundle, credentialOf(host)));
  const latencies: number[] = [];
  let failed = 0;
  const running: Promise<void>[] = [];
  for (const [index, renewal] of prepared.entries()) {
    const link = links[index];
    if (link === undefined) throw new RangeError('no link');
    running.push(
      (async () => {
        const began = performance.now();
        try {
          await renew(renewal, link);
          latencies.push(performance.now() - began);
        } catch {
          // A host comes again; here it counts.
          failed += 1;
        }
      })(),
    );
    await delay(50);
  }
  await Promise.all(running);
  await Promise.all(links.map((link) => link.close()));
  return { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), failed };
}

const renewals = 200;
