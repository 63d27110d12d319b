import { once } from 'node:events';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  FollowTrustRequest,
  FollowTrustResponse,
} from '../../src/gen/sidekey/v1/certificate_authority.ts';
import type { AuthorityLink } from '../../src/identity/authority-link.ts';
import { createOffload } from '../../src/offload/index.ts';
import { quantile } from '../statistics.ts';
import { revoke, unixChannel } from './administration.ts';
import { measureRate } from './in-flight.ts';
import { measureEnrolments, mintHosts } from './rates.ts';
import { credentialOf, openLink, type SimulatedHost } from './simulated-hosts.ts';
import { environment, type MeasuredAuthority, program, sidekey } from './stage.ts';

export interface RevocationReach {
  readonly followers: number;
  readonly rounds: number;
  /** From the command's call to the end of the connection of the application at the other end. */
  readonly closed: Quantiles;
  /** From the call to the message, over all followers. */
  readonly told: Quantiles;
}

export interface Quantiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * A thousand followers, and beside them two real sidecars with an application each and a connection
 * between them, whose one end is revoked; again and again, with another identity each time.
 */
export async function measureRevocationReach(
  authority: MeasuredAuthority,
  followers = 1000,
  rounds = 30,
): Promise<RevocationReach> {
  const { hosts } = mintHosts(authority, followers);
  await measureEnrolments(hosts, 16);
  const messages = new Messages();
  const links: AuthorityLink[] = [];
  const pair = await startPair(authority, rounds);
  const channel = unixChannel(authority.administration);
  try {
    await measureRate(hosts, 16, async (host) => {
      links.push(await follow(host, messages));
    });
    const closed: number[] = [];
    const told: number[] = [];
    for (const victim of pair.victims) {
      const { closed: gone } = await pair.connect(victim.name);
      messages.arrivals.length = 0;
      const began = performance.now();
      await revoke(channel, { $case: 'agentId', value: victim.agentId });
      closed.push((await gone) - began);
      while (messages.arrivals.length < followers) await delay(5);
      told.push(...messages.arrivals.slice(0, followers).map((at) => at - began));
    }
    return { followers, rounds, closed: quantiles(closed), told: quantiles(told) };
  } finally {
    await Promise.all(links.map((link) => link.close()));
    await channel.close();
    await pair.stop();
  }
}

/** When revocations arrived, at whichever follower. */
class Messages {
  readonly arrivals: number[] = [];

  take(bytes: Uint8Array): void {
    const { revocations, snapshotStart } = FollowTrustResponse.decode(bytes);
    // An agent comes with all of its certificates; one of the entries names the agent.
    if (!snapshotStart && revocations.some(({ spiffeId }) => spiffeId !== '')) {
      this.arrivals.push(performance.now());
    }
  }
}

async function follow(host: SimulatedHost, messages: Messages): Promise<AuthorityLink> {
  const link = openLink(host.bundle, credentialOf(host));
  const first = FollowTrustRequest.encode(FollowTrustRequest.fromPartial({ bundleSequence: 1n }));
  await new Promise<void>((resolve, reject) => {
    const events = {
      message: (bytes: Uint8Array): void => {
        messages.take(bytes);
        resolve();
      },
      end: reject,
    };
    link.followTrust(events).then((call) => {
      call.send(first.finish());
    }, reject);
  });
  return link;
}

interface Victim {
  readonly name: string;
  readonly agentId: Buffer;
}

interface Pair {
  readonly victims: readonly Victim[];
  /** Connects as one of the victims; `closed` says when the server's socket has. */
  connect(identity: string): Promise<{ readonly closed: Promise<number> }>;
  stop(): Promise<void>;
}

async function startPair(authority: MeasuredAuthority, count: number): Promise<Pair> {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-bench-pair-'));
  const names = Array.from({ length: count }, (_, index) => `victim-${String(index + 1)}`);
  const bundles = join(directory, 'bundles');
  sidekey([
    ...['token', 'create', '--role', 'service', '--count', String(count + 1), '--name', 'host'],
    ...['--out', bundles, '--authority', authority.administration],
  ]);
  const bundle = (number: number): string =>
    join(bundles, `host-${String(number).padStart(5, '0')}.bundle`);
  const web = await startSidecar(directory, 'web', ['web']);
  const clients = await startSidecar(directory, 'clients', names);
  const webId = enrolled(web.address, 'web', bundle(1));
  const victims = names.map((name, index): Victim => {
    const id = enrolled(clients.address, name, bundle(index + 2));
    return { name, agentId: Buffer.from(id.slice(-36).replaceAll('-', ''), 'hex') };
  });
  const serverSide = createOffload({ address: web.address });
  const server = serverSide.createServer({ clientAuth: 'require' });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clientSide = createOffload({ address: clients.address });
  return {
    victims,
    connect: async (identity) => {
      const accepted = once(server, 'secureConnection') as Promise<[NodeJS.ReadableStream]>;
      const socket = clientSide.connect({
        host: '127.0.0.1',
        port,
        identity,
        targetIdentities: [webId],
      });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      const [peer] = await accepted;
      peer.on('error', () => undefined);
      const closed = new Promise<number>((resolve) => {
        peer.once('close', () => {
          resolve(performance.now());
        });
      });
      return { closed };
    },
    stop: async () => {
      server.close();
      await Promise.all([serverSide.close(), clientSide.close()]);
      await Promise.all([web.stop(), clients.stop()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function enrolled(sidecar: string, identity: string, bundle: string): string {
  const printed = execFileSync(
    process.execPath,
    [program, 'enroll', '--bundle', bundle, '--sidecar', sidecar, '--identity', identity],
    { encoding: 'utf8', env: environment },
  );
  const id = /spiffe:\/\/[^\s,]+/u.exec(printed)?.[0];
  if (id === undefined) throw new Error(`not enrolled: ${printed}`);
  return id;
}

async function startSidecar(
  directory: string,
  name: string,
  identities: readonly string[],
): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const socket = join(directory, `${name}.sock`);
  const config = join(directory, `${name}.yaml`);
  const lines = identities.map((identity) => `  ${identity}: { enrolled: true }`);
  writeFileSync(
    config,
    `state: ./${name}\nlisten:\n  - address: unix:${socket}\nidentities:\n${lines.join('\n')}\nlog: { level: warn }\n`,
  );
  const child: ChildProcess = spawn(process.execPath, [program, 'sidecar', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: environment,
  });
  while (!existsSync(socket)) {
    if (child.exitCode !== null) throw new Error('a sidecar did not start');
    await delay(5);
  }
  return {
    address: `unix:${socket}`,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function quantiles(values: readonly number[]): Quantiles {
  return { p50Ms: quantile(values, 0.5), p99Ms: quantile(values, 0.99) };
}
