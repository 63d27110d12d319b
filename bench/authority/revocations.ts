import { revoke, unixChannel } from './administration.ts';
import { measureRate, type Rate } from './in-flight.ts';
import { measureEnrolments, mintHosts } from './rates.ts';
import { makeRequests, type SimulatedHost } from './simulated-hosts.ts';
import type { MeasuredAuthority } from './stage.ts';

export interface Revocations {
  /** Certificates revoked before the clock ran. */
  readonly before: number;
  /** Calls that revoke one agent each. */
  readonly rate: Rate;
}

/** Revokes most of a crowd of hosts token by token of their batch, then measures the rest. */
export async function measureRevocations(crowd: Crowd, measured: number): Promise<Revocations> {
  const { authority, hosts } = crowd;
  const channel = unixChannel(authority.administration);
  try {
    const subjects = hosts.map(({ issued }) => issued?.agentId ?? Buffer.alloc(0));
    const one = async (value: Buffer): Promise<void> => {
      await revoke(channel, { $case: 'agentId', value });
    };
    const before = subjects.slice(measured);
    await measureRate(before, 64, one);
    const rate = await measureRate(subjects.slice(0, measured), 64, one);
    return { before: before.length * certificatesOfHost, rate };
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
  const shared = makeRequests();
  const hosts: SimulatedHost[] = [];
  while (hosts.length < count) {
    const minted = mintHosts(authority, Math.min(10_000, count - hosts.length), shared).hosts;
    await measureEnrolments(minted, 64);
    hosts.push(...minted);
  }
  return { authority, hosts };
}

/** One for TLS, one for decryption. */
export const certificatesOfHost = 2;
