/**
 * One manager and many agents on this machine: how long they take to arrive, what a sweep and a new configuration for
 * all cost, and what becomes of them when the manager dies. Arguments: numbers of agents (10 100 1000 10000).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { job, managerStatus } from '../../src/apps/fleet/admin-api/messages.ts';
import { Simulators } from './simulators.ts';
import { FleetStage } from './stage.ts';

const heartbeatSeconds = 20;
/** As agents have by default. */
const returning = { leastMs: 1000, firstMs: 10_000, mostMs: 300_000 };
const patienceMs = 600_000;
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
  const add = (label: string, value: number, unit = ''): void => {
    row.push([unit === '' ? label : `${label}, ${unit}`, value.toFixed(value < 10 ? 2 : 0)]);
    process.stderr.write(`${String(count)}: ${label} ${value.toFixed(2)} ${unit}\n`);
  };
  const stage = await FleetStage.open(heartbeatSeconds);
  let agents;
  try {
    agents = await Simulators.make(stage.authority.key, stage.port, count, returning);
    await activation(stage, agents, count, add);
    await sweeps(stage, agents, add);
    await fanOut(stage, count, add);
    const { manager, sidecar } = stage.memory;
    add('memory of the manager', manager, 'MiB');
    add('memory of its sidecar', sidecar, 'MiB');
    await storm(stage, agents, count, add);
    return row;
  } finally {
    agents?.close();
    await stage.close();
  }
}

type Add = (label: string, value: number, unit?: string) => void;

/** From nothing: they dial, are let in by policy, and are asked for their first heartbeat. */
async function activation(stage: FleetStage, agents: Simulators, count: number, add: Add) {
  const began = performance.now();
  await agents.start();
  await until(stage, agents, (now) => now.states.active >= count && now.connected >= count);
  add('until all are active', (performance.now() - began) / 1000, 's');
}

/** The first whole one that began when all were there. */
async function sweeps(stage: FleetStage, agents: Simulators, add: Add) {
  const before = await look(stage);
  const [beats, seconds] = [agents.now.heartbeats, stage.managerSeconds];
  const began = Date.now();
  await until(
    stage,
    agents,
    ({ sweep }) => Date.parse(sweep.lastStartedAt ?? '') >= began,
    // Asking costs the manager, too.
    2000,
  );
  const cost = (stage.managerSeconds - seconds) / (agents.now.heartbeats - beats);
  const { sweep } = await look(stage);
  add('sweep, heartbeats every 20 s', (sweep.lastDurationMs ?? NaN) / 1000, 's');
  add('round trip of a heartbeat, p50', sweep.p50Ms ?? NaN, 'ms');
  add('round trip of a heartbeat, p99', sweep.p99Ms ?? NaN, 'ms');
  add('processor of the manager for a heartbeat', cost * 1000, 'ms');
  add('heartbeats missed', sweep.missed - before.sweep.missed);
}

/** Each agent opens one that was sealed for it, and says that it runs it. */
async function fanOut(stage: FleetStage, count: number, add: Add) {
  const began = performance.now();
  const body = { content: { labels: { round: 'one' } } };
  const order = await stage.ask((client) =>
    client.call({ method: 'PUT', path: '/v1/configuration', body }, job),
  );
  let done = order;
  while (done.endedAt === undefined) {
    await delay(100);
    done = await stage.get(`/v1/jobs/${order.id}`, job);
  }
  add('a configuration sealed for and applied by each', (performance.now() - began) / 1000, 's');
  add('agents that did not apply it', count - done.counts.succeeded);
}

/** The manager is killed and started again; agents come back as they are made to. */
async function storm(stage: FleetStage, agents: Simulators, count: number, add: Add) {
  const { failures } = agents.now;
  await stage.killManager();
  const died = performance.now();
  add('start after a crash', (await stage.startManager()) / 1000, 's');
  await until(stage, agents, (now) => now.connected >= count);
  add('from the crash until all are back', (performance.now() - died) / 1000, 's');
  add('attempts that were turned away', agents.now.failures - failures);
  // Whoever was not there when it was asked.
  add('heartbeats missed meanwhile', (await look(stage)).sweep.missed);
}

async function until(
  stage: FleetStage,
  agents: Simulators,
  reached: (now: Awaited<ReturnType<typeof look>>) => boolean,
  everyMs = 100,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!reached(await look(stage))) {
    if (performance.now() > deadline) giveUp(agents);
    await delay(everyMs);
  }
}

function look(stage: FleetStage) {
  return stage.get('/v1/manager', managerStatus);
}

function giveUp({ now: { connected, failures, lastFailure } }: Simulators): never {
  throw new Error(
    `not reached in ten minutes: ${String(connected)} connected, ${String(failures)} failures, last ${lastFailure}`,
  );
}
