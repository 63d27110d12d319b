import { randomUUID } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  configurationOrder,
  history,
  job,
  type Job,
  jobTargets,
  operationOrder,
  storedEvents,
} from '../../../apps/fleet/admin-api/messages.ts';
import { effective, status } from '../../../apps/fleet/agent-api/messages.ts';
import { AdministrationServiceService as Administration } from '../../../gen/sidekey/v1/administration.ts';
import { withAuthority } from '../../authority/client.ts';
import { parseId } from '../../authority/identifiers.ts';
import type { Fleet } from '../fleet.ts';
import type { Stage } from '../stage.ts';
import { check, StepFailedError } from '../story.ts';
import { idOf, listAgents, nameOf, untilFleet } from './activate-fleet.ts';
import type { ManagedFleet } from './cast.ts';

/** Status, an operation, a configuration for each agent alone, and an event that comes of it. */
export async function manage({ story }: Stage, fleet: ManagedFleet): Promise<void> {
  const agents = await listAgents(fleet);
  for (const agent of agents) {
    const path = `/v1/agents/${agent.id}/status`;
    const now = await fleet.ask((client) => client.call({ method: 'GET', path }, status));
    const load = now.load[0].toFixed(2);
    story.fact(
      `status of ${nameOf(agent)}`,
      `${now.system}, load ${load}, ${String(now.ports.length)} ports open`,
    );
  }
  const greeted = await finish(fleet, await operate(fleet));
  const targets = await fleet.ask((client) =>
    client.call({ method: 'GET', path: `/v1/jobs/${greeted.id}/targets` }, jobTargets),
  );
  check(
    targets.targets.every(({ output }) => output === 'hello fleet\n'),
    'an operation said something else',
  );
  story.fact('operation greet', `ran on ${String(greeted.counts.succeeded)} agents: hello fleet`);
  const configured = await finish(fleet, await configure(fleet));
  check(configured.counts.succeeded === 3, `configured: ${JSON.stringify(configured.counts)}`);
  const [first] = agents;
  const inForce = await fleet.ask((client) =>
    client.call({ method: 'GET', path: `/v1/agents/${first?.id ?? ''}/configuration` }, effective),
  );
  check(!JSON.stringify(inForce).includes(secret), 'a secret is told back');
  const { version, hash } = inForce.configuration;
  story.fact(
    'configuration',
    `${String(version)}, sealed for each of 3, in force: ${hash.slice(0, 16)}…`,
  );
  await appendFile(fleet.watched, 'two\n');
  const seen = await Promise.all(agents.map(({ id }) => eventOf(fleet, id, 'file_changed')));
  story.fact(
    'events',
    `${String(seen.length)} agents saw it: ${seen[0]?.replace(fleet.directory, '…') ?? ''}`,
  );
  story.proves('status, an operation, a sealed configuration and events, from all three');
}

/** Replaces the root below the fleet while it works. */
export async function rotateRoot(
  { story, processes }: Stage,
  { administration }: Fleet,
  fleet: ManagedFleet,
): Promise<void> {
  const began = new Date();
  for (const step of ['prepare', 'publish', 'activate', 'reissue', 'retire', 'destroy']) {
    await rotate(processes, administration, step);
  }
  const beats = await beatsSince(fleet, began);
  story.fact('root', 'the old one is destroyed; every host renewed below the new');
  story.fact(
    'heartbeats meanwhile',
    `${String(beats.ok)} answered, ${String(beats.missed)} missed`,
  );
  check(beats.missed === 0 && beats.ok > 0, 'heartbeats were missed');
  story.proves('the root was replaced below a working fleet: 0 heartbeats missed');
}

/** Kills every sidecar under load, and starts them again. */
export async function killAllSidecars(
  { story, processes }: Stage,
  fleet: ManagedFleet,
): Promise<void> {
  const hosts = [fleet.manager, ...fleet.agents];
  const manager = fleet.applications.get('manager');
  const began = new Date();
  const ended = (): number => manager?.output().split(disconnected).length ?? 0;
  const before = ended();
  const load = new AbortController();
  let operations = 0;
  const loading = (async () => {
    while (!load.signal.aborted) {
      const done = await finish(fleet, await operate(fleet));
      check(done.counts.succeeded === 3, `under load: ${JSON.stringify(done.counts)}`);
      operations += done.total;
    }
  })();
  // Awaited below; until then a failure is nobody's.
  loading.catch(() => undefined);
  await delay(500);
  await Promise.all(hosts.map(({ sidecar }) => processes.kill(sidecar)));
  story.fact('SIGKILL', `${String(hosts.length)} sidecars are gone, operations go on`);
  await delay(2000);
  await Promise.all(hosts.map((host) => host.startSidecar()));
  await delay(1000);
  load.abort();
  await loading;
  const beats = await beatsSince(fleet, began);
  const lost = ended() - before;
  story.fact(
    'meanwhile',
    `${String(operations)} operations, ${String(beats.ok)} heartbeats, ${String(beats.missed)} missed`,
  );
  story.fact('connections lost', String(lost));
  check(lost === 0 && beats.missed === 0, 'connections did not outlive their sidecars');
  story.proves('all sidecars killed and restarted under load: 0 connections lost');
}

/** Throws one agent out; the manager's connection with it ends. */
export async function revokeAgent(
  { story }: Stage,
  { administration }: Fleet,
  fleet: ManagedFleet,
): Promise<void> {
  const host = fleet.agents.find(({ name }) => name === 'either');
  if (host === undefined) throw new StepFailedError('there is no agent either');
  const id = await idOf(host);
  const manager = fleet.applications.get('manager');
  const gone = new Promise<void>((resolve) => {
    let said = '';
    manager?.child.stdout?.on('data', (text: string) => {
      said += text;
      if (said.split('\n').some((line) => line.includes(id) && line.includes(disconnected)))
        resolve();
    });
  });
  const began = performance.now();
  await withAuthority({ kind: 'unix', path: administration }, (authority) =>
    authority.call(Administration.revoke, {
      idempotencyKey: randomUUID(),
      subject: { $case: 'agentId', value: parseId(id) },
      reason: 'keyCompromise',
      comment: '',
    }),
  );
  await Promise.race([
    gone,
    timeout(() => `the connection of a revoked agent goes on:\n${manager?.lastOutput() ?? ''}`),
  ]);
  const milliseconds = Math.round(performance.now() - began);
  story.fact('its connection', `closed ${String(milliseconds)} ms after the authority was asked`);
  await untilFleet(fleet, (agents) =>
    agents.every((agent) =>
      agent.id === id ? agent.state === 'revoked' : agent.connection !== 'none',
    ),
  );
  story.fact('the other two', 'are connected as before');
  story.proves('an agent was revoked: its connection was closed, the others go on');
}

async function rotate(
  processes: Stage['processes'],
  administration: string,
  step: string,
): Promise<void> {
  const deadline = performance.now() + rotationMs;
  for (;;) {
    try {
      await processes.runSidekey(`rotate ${step}`, [
        ...['rotate', step, 'root', '--authority', `unix:${administration}`],
        ...(step === 'reissue' ? ['--window', '1s'] : []),
      ]);
      return;
    } catch (error) {
      // A gate is shut until every host has caught up; that takes it a moment.
      const waits = error instanceof StepFailedError && error.message.includes('has to wait');
      if (!waits || performance.now() > deadline) throw error;
    }
    await delay(500);
  }
}

function operate(fleet: ManagedFleet): Promise<Job> {
  const body = operationOrder.parse({ operation: 'greet', arguments: { whom: 'fleet' } });
  return fleet.ask((client) =>
    client.call({ method: 'POST', path: '/v1/jobs', body, idempotencyKey: randomUUID() }, job),
  );
}

function configure(fleet: ManagedFleet): Promise<Job> {
  const content = {
    watch: { files: [fleet.watched], intervalSeconds: 1 },
    labels: { tour: 'yes' },
    secrets: { token: secret },
  };
  const body = configurationOrder.parse({ content });
  return fleet.ask((client) =>
    client.call({ method: 'PUT', path: '/v1/configuration', body }, job),
  );
}

async function finish(fleet: ManagedFleet, begun: Job): Promise<Job> {
  const deadline = performance.now() + jobMs;
  let current = begun;
  while (current.endedAt === undefined) {
    if (performance.now() > deadline)
      throw new StepFailedError(`job does not end: ${JSON.stringify(current)}`);
    await delay(50);
    current = await fleet.ask((client) =>
      client.call({ method: 'GET', path: `/v1/jobs/${begun.id}` }, job),
    );
  }
  return current;
}

async function eventOf(fleet: ManagedFleet, id: string, kind: string): Promise<string> {
  const deadline = performance.now() + jobMs;
  for (;;) {
    const path = `/v1/agents/${id}/events?limit=1000`;
    const { events } = await fleet.ask((client) =>
      client.call({ method: 'GET', path }, storedEvents),
    );
    const found = events.find((event) => event.kind === kind);
    if (found !== undefined) return found.message;
    if (performance.now() > deadline) throw new StepFailedError(`agent ${id} tells of no ${kind}`);
    await delay(200);
  }
}

async function beatsSince(
  fleet: ManagedFleet,
  since: Date,
): Promise<{ ok: number; missed: number }> {
  const agents = await listAgents(fleet);
  const all = await Promise.all(
    agents.map(async ({ id }) => {
      const path = `/v1/agents/${id}/history`;
      const { beats } = await fleet.ask((client) => client.call({ method: 'GET', path }, history));
      return beats.filter(({ at }) => new Date(at) >= since);
    }),
  );
  const beats = all.flat();
  const missed = beats.filter(({ outcome }) => outcome === 'missed').length;
  return { ok: beats.length - missed, missed };
}

async function timeout(complaint: () => string): Promise<never> {
  await delay(jobMs, undefined, { ref: false });
  throw new StepFailedError(complaint());
}

const secret = 'a-secret-of-this-tour';
/** As the manager's log says it. */
const disconnected = 'agent disconnected';
const jobMs = 20_000;
const rotationMs = 60_000;
