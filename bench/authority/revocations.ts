import { revoke, unixChannel } from './administration.ts';
import { measureRate, type Rate } from './in-flight.ts';
import { measureEnrolments, type MintedHosts, mintHosts } from './rates.ts';
import { makeRequests } from './simulated-hosts.ts';
import type { MeasuredAuthority } from './stage.ts';

/** Enrols hosts which all have the same keys: for the authority it makes no difference, here it does. */
export async function enrollCrowd(
  authority: MeasuredAuthority,
  count: number,
): Promise<readonly MintedHosts[]> {
  const keys = { certificates: certificatesOfHost, shared: makeRequests() } as const;
  const batches: MintedHosts[] = [];
  for (let left = count; left > 0; left -= 10_000) {
    const minted = mintHosts(authority, Math.min(10_000, left), keys);
    await measureEnrolments(minted.hosts, 64);
    batches.push(minted);
  }
  return batches;
}

/** Revokes batches with all that came from them, each by one call; answers how many agents in a second. */
export async function revokeBatches(
  authority: MeasuredAuthority,
  batches: readonly MintedHosts[],
): Promise<number> {
  const channel = unixChannel(authority.administration);
  try {
    let agents = 0;
    const began = performance.now();
    for (const { batch } of batches) {
      agents += (await revoke(channel, { $case: 'batchId', value: batch })).agents;
    }
    return (agents * 1000) / (performance.now() - began);
  } finally {
    await channel.close();
  }
}

/** Revokes agents, each by a call of its own. */
export async function measureRevocations(
  authority: MeasuredAuthority,
  { hosts }: MintedHosts,
): Promise<Rate> {
  const channel = unixChannel(authority.administration);
  try {
    return await measureRate(hosts, 64, async ({ issued }) => {
      await revoke(channel, { $case: 'agentId', value: issued?.agentId ?? Buffer.alloc(0) });
    });
  } finally {
    await channel.close();
  }
}

/** One for TLS, one for decryption. */
export const certificatesOfHost = 2;
