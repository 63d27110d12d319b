import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type AgentSummary, managerStatus } from '../../../apps/fleet/admin-api/messages.ts';
import { createOffload } from '../../../offload/index.ts';
import { activateAgent, changeMode, readAgents, registerAgent } from '../../fleet/agents.ts';
import { type Fleet, freePort } from '../fleet.ts';
import { waitForOutput } from '../processes.ts';
import type { Stage } from '../stage.ts';
import { check, StepFailedError } from '../story.ts';
import { type AgentName, Casting, type ManagedFleet, type ManagedHost, roles } from './cast.ts';
import type { DemoNetwork } from './network.ts';

/** A manager and three agents, one for each way to connect, until all three are active. */
export async function activateFleet(
  { story, processes, rootFile }: Stage,
  { administration }: Fleet,
  network: DemoNetwork,
): Promise<ManagedFleet> {
  const directory = join(dirname(rootFile), 'managed');
  await mkdir(directory, { mode: 0o700 });
  const cast = new Casting(processes, directory);
  const watched = cast.path('watched.conf');
  await writeFile(watched, 'one\n');
  const bundle = (name: string): string => cast.path(`bundles/${name}.bundle`);
  // No more than are used: as long as one could be, the root it trusts cannot be retired.
  for (const [role, count] of [
    ['manager', 1],
    ['agent', 3],
  ] as const) {
    await processes.runSidekey('token create', [
      ...['token', 'create', '--authority', `unix:${administration}`, '--role', role],
      ...['--count', String(count), '--name', role, '--out', cast.path('bundles')],
    ]);
  }
  await cast.writeRoots(bundle('agent-00001'));
  const uid = String(process.getuid?.() ?? 0);
  const enrolled = (name: string): string => `  ${name}: { enrolled: true, default: true }\n`;
  const bootstrap = '  bootstrap: { selfSigned: true, until: host, trust: ../roots.pem }\n';
  const within = network.apart;
  const [manager, dialled, roaming, either] = await Promise.all([
    cast.startHost('manager', enrolled('manager'), {
      allow: `{ uid: ${uid}, identities: [manager], pinnedPeers: true }`,
    }),
    cast.startHost('dialled', enrolled('host') + bootstrap),
    cast.startHost('roaming', enrolled('host'), { within }),
    cast.startHost('either', enrolled('host')),
  ]);
  await cast.enroll(manager, bundle('manager'));
  await cast.enroll(roaming, bundle('agent-00002'));
  await cast.enroll(either, bundle('agent-00003'));
  const address = `${network.meetingPoint}:${String(await freePort(network.meetingPoint))}`;
  const managerProcess = await cast.startManager(manager, address);
  const managers = `managers: ["${address}"]`;
  const [dialledAgent, roamingAgent, eitherAgent] = await Promise.all([
    cast.startAgent(dialled, [
      `mode: ${roles.dialled}`,
      'bootstrap: bootstrap',
      'listen: 127.0.0.1:0',
    ]),
    cast.startAgent(roaming, [`mode: ${roles.roaming}`, managers], within),
    cast.startAgent(either, [`mode: ${roles.either}`, managers, 'listen: 127.0.0.1:0']),
  ]);
  const fleet: ManagedFleet = {
    directory,
    network,
    manager,
    agents: [dialled, roaming, either],
    applications: new Map([
      ['manager', managerProcess],
      ['dialled', dialledAgent],
      ['roaming', roamingAgent],
      ['either', eitherAgent],
    ]),
    watched,
    ask: (work) => cast.ask(work),
  };
  story.fact('manager', `process ${String(managerProcess.pid)}, where agents dial: ${address}`);
  await quietly(async () => {
    await activateDialled(
      fleet,
      dialled,
      await listeningAt(fleet, 'dialled'),
      bundle('agent-00001'),
    );
    await activateWaiting(fleet, roaming);
    await activateWaiting(fleet, either);
    const to = await listeningAt(fleet, 'either');
    const id = await idOf(either);
    await fleet.ask((client) =>
      changeMode(client, id, { mode: roles.either, address: to }, 'json'),
    );
  });
  await untilFleet(fleet, (agents) =>
    agents.every(({ state, connection }) => state === 'active' && connection !== 'none'),
  );
  for (const agent of await listAgents(fleet)) {
    story.fact(`agent ${nameOf(agent)}`, `${agent.mode}, connection ${agent.connection}`);
  }
  if (network.apart === undefined) {
    story.fact('no network apart', `${network.obstacle}; roaming is beside the others`);
  } else {
    const open = await network.listeners();
    check(open.length === 0, `the network of roaming has open ports: ${open.join('; ')}`);
    story.fact('network of roaming', 'apart from ours; no port in it is open to anybody');
  }
  const { connected } = await fleet.ask((client) =>
    client.call({ method: 'GET', path: '/v1/manager' }, managerStatus),
  );
  check(connected === 3, `${String(connected)} of 3 agents are connected`);
  story.proves(
    'three agents are active, one for each way to connect; the manager asks, they answer',
  );
  return fleet;
}

/** Agents are told apart by the UUIDs their certificates have; the demo knows hosts by name. */
export function nameOf({ mode }: Pick<AgentSummary, 'mode'>): AgentName {
  for (const name of ['dialled', 'roaming', 'either'] as const) {
    if (roles[name] === mode) return name;
  }
  throw new StepFailedError(`an agent connects in no way of ours: ${mode}`);
}

export async function listAgents(fleet: ManagedFleet): Promise<readonly AgentSummary[]> {
  const { agents } = await fleet.ask((client) => readAgents(client, { labels: {} }, 100));
  return agents;
}

/** Waits until something is so of all agents, and answers them. */
export async function untilFleet(
  fleet: ManagedFleet,
  reached: (agents: readonly AgentSummary[]) => boolean,
): Promise<readonly AgentSummary[]> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const agents = await listAgents(fleet);
    if (agents.length > 0 && reached(agents)) return agents;
    if (performance.now() > deadline) {
      throw new StepFailedError(`the fleet does not get there: ${JSON.stringify(agents, null, 2)}`);
    }
    await delay(50);
  }
}

/** Commands print what they did; here that is told in other words. */
export async function quietly<Result>(work: () => Promise<Result>): Promise<Result> {
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = () => true;
  try {
    return await work();
  } finally {
    process.stdout.write = write;
  }
}

async function activateDialled(
  fleet: ManagedFleet,
  host: ManagedHost,
  address: string,
  bundleFile: string,
): Promise<void> {
  const offload = createOffload({ address: host.sidecarAddress });
  const { identities } = await offload.listIdentities();
  await offload.close();
  const key = identities.find(({ name }) => name === 'bootstrap')?.publicKeyHash;
  if (key === undefined) throw new StepFailedError('the sidecar has no bootstrap key');
  await fleet.ask(async (client) => {
    const bootstrapKeyHash = key.replace('sha256:', '');
    await registerAgent(client, { name: host.name, address, bootstrapKeyHash }, 'json');
    await activateAgent(client, host.name, bundleFile, 'json');
  });
}

async function activateWaiting(fleet: ManagedFleet, host: ManagedHost): Promise<void> {
  const id = await idOf(host);
  await untilFleet(fleet, (agents) => agents.some((agent) => agent.id === id));
  await fleet.ask((client) => activateAgent(client, id, undefined, 'json'));
}

/** The UUID in its SPIFFE ID. */
export async function idOf(host: ManagedHost): Promise<string> {
  const offload = createOffload({ address: host.sidecarAddress });
  try {
    const { identities } = await offload.listIdentities();
    const id = identities
      .find(({ name }) => name === 'host')
      ?.spiffeId?.split('/')
      .at(-1);
    if (id === undefined) throw new StepFailedError(`${host.name} has no identity`);
    return id;
  } finally {
    await offload.close();
  }
}

async function listeningAt(fleet: ManagedFleet, name: AgentName): Promise<string> {
  const agent = fleet.applications.get(name);
  if (agent === undefined) throw new StepFailedError(`there is no agent ${name}`);
  const [, address = ''] = await waitForOutput(agent, /"address":"([^"]+)","msg":"listening"/u);
  return address;
}

const patienceMs = 20_000;
