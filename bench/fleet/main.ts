/**
 * One manager and many agents on this machine: how long they take to arrive, what a sweep and a new configuration for
 * all cost, and what becomes of them when the manager dies. Arguments: numbers of agents (10 100 1000 10000).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { job, managerStatus } from '../../src/apps/fleet/admin-api/messages.ts';
import { Simulator } from './simulator.ts';
import { FleetStage } from './stage.ts';

const heartbeatSeconds = 20;
const sizes = process.argv.slice(2).map(Number);

const rows: (readonly [string, string])[][] = [];
for (const count of sizes.length === 0 ? [10, 100, 1000, 10_000] : sizes) {
  rows.push(await measure(count));
}
for (const index of (rows[0] ?? []).keys()) {
  const label = rows[0]?.[index]?.[0] ?? '';
  process.stdout.write(
    `${label.padEnd(52)}${rows.map((row) => (row[index]?.[1] ?? '').padStart(12)).join('')}\n`,
  );
}

async function measure(count: number): Promise<(readonly [string, string])[]> {
  const row: (readonly [string, string])[] = [['agents', String(count)]];
  const add = (label: string, value: number, unit: string): void => {
    row.push([`${label}, ${unit}`, value.toFixed(value < 100 ? 1 : 0)]);
    process.stderr.write(`${String(count)}: ${label} ${value.toFixed(1)} ${unit}\n`);
  };
  const stage = await FleetStage.open(heartbeatSeconds);
  const simulator = new Simulator(stage.authority, stage.port, count, {
    leastMs: 1000,
    firstMs: 60_000,
    mostMs: 300_000,
  });
  try {
    const idle = stage.memory;
    const began = performance.now();
    await simulator.start(64);
    await until(stage, simulator, (now) => now.states.active >= count && now.connected >= count);
    const activationMs = performance.now() - began;
    add('until all are active', activationMs / 1000, 's');
    add('activations', count / (activationMs / 1000), '1/s');

    const before = beats(simulator);
    const swept = performance.now();
    await untilTrue(() => beats(simulator) - before >= 2 * count, simulator);
    add('two heartbeats of each (interval 20 s)', (performance.now() - swept) / 1000, 's');
    const { sweep } = await stage.get('/v1/manager', managerStatus);
    add('round trip of a heartbeat, p50', sweep.p50Ms ?? NaN, 'ms');
    add('round trip of a heartbeat, p99', sweep.p99Ms ?? NaN, 'ms');
    add('heartbeats missed', sweep.missed, '');

    const pushed = performance.now();
    const order = await stage.ask((client) =>
      client.call(
        {
          method: 'PUT',
          path: '/v1/configuration',
          body: { content: { labels: { round: 'one' } } },
        },
        job,
      ),
    );
    let done = order;
    while (done.endedAt === undefined) {
      await delay(100);
      done = await stage.get(`/v1/jobs/${order.id}`, job);
    }
    add('a configuration sealed for and applied by each', (performance.now() - pushed) / 1000, 's');
    add('agents that did not apply it', count - done.counts.succeeded, '');
    const full = stage.memory;
    add('memory of the manager', full.manager, 'MiB');
    add('memory for each agent', ((full.manager - idle.manager) * 1024) / count, 'KiB');
    add('memory of its sidecar', full.sidecar, 'MiB');

    await stage.killManager();
    const died = performance.now();
    await untilTrue(() => simulator.connected === 0, simulator);
    add('start after a crash', await stage.startManager(), 'ms');
    await until(stage, simulator, (now) => now.connected >= count);
    add('from the crash until all are back', (performance.now() - died) / 1000, 's');
    const after = await stage.get('/v1/manager', managerStatus);
    add('heartbeats missed meanwhile', after.sweep.missed, '');
    return row;
  } finally {
    simulator.close();
    await stage.close();
  }
}

function beats({ agents }: Simulator): number {
  return agents.reduce((sum, { heartbeats }) => sum + heartbeats, 0);
}

async function until(
  stage: FleetStage,
  simulator: Simulator,
  reached: (now: Awaited<ReturnType<typeof look>>) => boolean,
): Promise<void> {
  for (let tries = 0; !reached(await look(stage)); tries += 1) {
    if (tries > 6000) giveUp(simulator);
    await delay(100);
  }
}

async function untilTrue(reached: () => boolean, simulator: Simulator): Promise<void> {
  for (let tries = 0; !reached(); tries += 1) {
    if (tries > 12_000) giveUp(simulator);
    await delay(50);
  }
}

function look(stage: FleetStage) {
  return stage.get('/v1/manager', managerStatus);
}

function giveUp({ connected, failures, lastFailure }: Simulator): never {
  throw new Error(
    `not reached in ten minutes: ${String(connected)} connected, ${String(failures)} failures, last ${lastFailure}`,
  );
}
