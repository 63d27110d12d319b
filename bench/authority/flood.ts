import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { quantile } from '../statistics.ts';
import type { Quantiles } from './followers.ts';
import { measureEnrolments, mintHosts } from './rates.ts';
import { credentialOf, openLink, prepareRenewal, renew } from './simulated-hosts.ts';
import type { MeasuredAuthority } from './stage.ts';

export interface Flood {
  readonly offeredPerSecond: number;
  readonly quiet: Quantiles;
  readonly flooded: Quantiles;
}

/**
 * Hosts renew, twenty per second, over connections of their own; then once more, while a process of
 * its own sends tokens that nobody signed as fast as it can.
 */
export async function measureFlood(authority: MeasuredAuthority): Promise<Flood> {
  const { hosts } = mintHosts(authority, renewals * 2);
  await measureEnrolments(hosts, 16);
  const first = hosts[0];
  if (first === undefined) throw new RangeError('no hosts');
  const quiet = await renewSteadily(hosts.slice(0, renewals));
  const flooder = fork(fileURLToPath(new URL('./flooder.ts', import.meta.url)), {
    serialization: 'advanced',
  });
  try {
    const { addresses, trustDomain, roots, token, credential } = first.bundle;
    const key = credential.privateKey.export({ type: 'pkcs8', format: 'der' });
    flooder.send({ addresses, trustDomain, roots, token, key, chain: credential.chain });
    await once(flooder, 'message');
    const flooded = await renewSteadily(hosts.slice(renewals));
    flooder.send('stop');
    const [offeredPerSecond] = (await once(flooder, 'message')) as [number];
    return { offeredPerSecond, quiet, flooded };
  } finally {
    flooder.kill('SIGKILL');
  }
}

async function renewSteadily(
  hosts: readonly Parameters<typeof prepareRenewal>[0][],
): Promise<Quantiles> {
  const prepared = await Promise.all(hosts.map(prepareRenewal));
  const links = hosts.map((host) => openLink(host.bundle, credentialOf(host)));
  const latencies: number[] = [];
  const running: Promise<void>[] = [];
  for (const [index, renewal] of prepared.entries()) {
    const link = links[index];
    if (link === undefined) throw new RangeError('no link');
    running.push(
      (async () => {
        const began = performance.now();
        await renew(renewal, link);
        latencies.push(performance.now() - began);
      })(),
    );
    await delay(50);
  }
  await Promise.all(running);
  await Promise.all(links.map((link) => link.close()));
  return { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) };
}

const renewals = 200;
