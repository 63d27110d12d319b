import { cpus } from 'node:os';
import { type Pair, startPair, stopPair } from './endpoints.ts';
import { processCost, type ProcessCost } from './process-cost.ts';
import type { Row, Sample } from './rows.ts';
import type { Stage, Variant } from './stage.ts';

/** CPU seconds of one sample, by who spent them; undefined where the system keeps no books. */
export interface Costs {
  readonly clientApplication: number;
  readonly serverApplication: number;
  readonly clientSidecar: number;
  readonly serverSidecar: number;
}

/** A sample with everything it cost. */
export interface Measured extends Sample {
  readonly costs: Costs | undefined;
  /** Share of the machine that was busy with what is not the bench. */
  readonly otherLoad: number;
}

export async function measure(
  row: Row,
  pair: Pair,
  stage: Stage,
  seconds: number,
): Promise<Measured> {
  const before = read(pair, stage);
  const sample = await row.run(pair, seconds);
  const after = read(pair, stage);
  const spent = before.costs && after.costs ? difference(after.costs, before.costs) : undefined;
  const capacity = after.capacitySeconds - before.capacitySeconds;
  const ours = spent ? Object.values(spent).reduce((sum: number, one: number) => sum + one, 0) : 0;
  const busy = after.busySeconds - before.busySeconds;
  return { ...sample, costs: spent, otherLoad: Math.max(0, (busy - ours) / capacity) };
}

/** Bytes of memory each idle connection takes in the application, at both ends. */
export interface MemoryPerConnection {
  readonly client: number;
  readonly server: number;
}

/** Opens many connections between fresh processes and sees how much those have grown. */
export async function measureMemory(
  stage: Stage,
  variant: Variant,
  count: number,
): Promise<MemoryPerConnection> {
  // A young generation of full size is megabytes that have nothing to do with connections.
  const pair = await startPair(stage.settings(variant), ['--max-semi-space-size=1']);
  try {
    const port = pair.ports.ecdsa;
    // The first ones pay for what all share: loaded code, channels, contexts.
    await pair.client.ask({ type: 'hold', port, count: 64 });
    const before = await memory(pair);
    await pair.client.ask({ type: 'hold', port, count });
    const after = await memory(pair);
    return {
      client: (after.client - before.client) / count,
      server: (after.server - before.server) / count,
    };
  } finally {
    await stopPair(pair);
  }
}

async function memory({ client, server }: Pair): Promise<MemoryPerConnection> {
  return {
    client: await client.ask<number>({ type: 'memory' }),
    server: await server.ask<number>({ type: 'memory' }),
  };
}

function read(
  { client, server }: Pair,
  stage: Stage,
): { costs: Costs | undefined; busySeconds: number; capacitySeconds: number } {
  const clientApplication = sum([client.pid]);
  const serverApplication = sum([server.pid]);
  const clientSidecar = sum(stage.sidecarPids('client'));
  const serverSidecar = sum(stage.sidecarPids('server'));
  const known =
    clientApplication !== undefined &&
    serverApplication !== undefined &&
    clientSidecar !== undefined &&
    serverSidecar !== undefined;
  const cores = cpus().map(({ times }) => times);
  const busy = cores.reduce((all, { user, nice, sys, irq }) => all + user + nice + sys + irq, 0);
  const idle = cores.reduce((all, times) => all + times.idle, 0);
  return {
    costs: known
      ? { clientApplication, serverApplication, clientSidecar, serverSidecar }
      : undefined,
    busySeconds: busy / 1000,
    capacitySeconds: (busy + idle) / 1000,
  };
}

function sum(pids: readonly number[]): number | undefined {
  const costs = pids.map(processCost).filter((cost): cost is ProcessCost => cost !== undefined);
  if (costs.length < pids.length) return undefined;
  return costs.reduce((all, { cpuSeconds }) => all + cpuSeconds, 0);
}

function difference(after: Costs, before: Costs): Costs {
  return {
    clientApplication: after.clientApplication - before.clientApplication,
    serverApplication: after.serverApplication - before.serverApplication,
    clientSidecar: after.clientSidecar - before.clientSidecar,
    serverSidecar: after.serverSidecar - before.serverSidecar,
  };
}
