import { revoke, unixChannel } from './administration.ts';
import { measureRate, type Rate } from './in-flight.ts';
import { measureEnrolments, mintHosts } from './rates.ts';
import { makeRequests, type SimulatedHost } from './simulated-hosts.ts';
import type { MeasuredAuthority } from './stage.ts';

/** Agents that are left of a crowd. */
export interface RestOfCrowd {
  readonly authority: MeasuredAuthority;
  readonly agents: readonly Buffer[];
  /** Certificates that were revoked. */
  readonly revoked: number;
}

/** Revokes a crowd of hosts, one by one, but for some. */
export async function revokeMost(
  { authority, hosts }: Crowd,
  spared: number,
): Promise<RestOfCrowd> {
  const agents = hosts.map(({ issued }) => issued?.agentId ?? Buffer.alloc(0));
  const others = agents.slice(spared);
  await revokeAgents(authority, others);
  return {
    ...{ authority, agents: agents.slice(0, spared) },
    revoked: others.length * certificatesOfHost,
  };
}

/** Revokes the rest, each agent by a call of its own. */
export async function measureRevocations({ authority, agents }: RestOfCrowd): Promise<Rate> {
  return await revokeAgents(authority, agents);
}

async function revokeAgents(
  authority: MeasuredAuthority,
  agents: readonly Buffer[],
): Promise<Rate> {
  const channel = unixChannel(authority.administration);
  try {
    return await measureRate(agents, 64, async (value) => {
      await revoke(channel, { $case: 'agentId', value });
    });
  } finally {
    await channel.close();
  }
}

/** Many enrolled hosts of one authority. */
export interface Crowd {
  readonly authority: MeasuredAuthority;
  readonly hosts: readonly SimulatedHost[];
}

/** Enrols hosts which all have the same keys: for the authority it makes no difference, here it does. */
export async function enrollCrowd(authority: MeasuredAuthority, count: number): Promise<Crowd> {
  const keys = { certificates: certificatesOfHost, shared: makeRequests() } as const;
  const hosts: SimulatedHost[] = [];
  while (hosts.length < count) {
    const minted = mintHosts(authority, Math.min(10_000, count - hosts.length), keys).hosts;
    await measureEnrolments(minted, 64);
    hosts.push(...minted);
  }
  return { authority, hosts };
}

/** One for TLS, one for decryption. */
export const certificatesOfHost = 2;
