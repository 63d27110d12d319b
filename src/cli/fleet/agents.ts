import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import {
  agentDetail,
  type AgentDetail,
  type AgentSummary,
  agentsPage,
  history,
  modeChange,
  registration,
  storedEvents,
} from '../../apps/fleet/admin-api/messages.ts';
import type { ConnectionMode } from '../../apps/fleet/agent-api/connection.ts';
import { status } from '../../apps/fleet/agent-api/messages.ts';
import { contentTypes } from '../../apps/fleet/agent-api/verbs.ts';
import { formatProperties, printFacts } from '../authority/print.ts';
import { type OutputFormat, print, printable, printError, printList } from '../terminal.ts';
import { type FleetClient, ManagerError } from './client.ts';

/** What agents to list; what is absent does not matter. */
export interface FleetFilter {
  readonly state?: string | undefined;
  readonly mode?: string | undefined;
  readonly connected?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export async function listFleet(
  client: FleetClient,
  filter: FleetFilter,
  limit: number,
  format: OutputFormat,
): Promise<void> {
  const { agents, more } = await readAgents(client, filter, limit);
  printList(format, agents, [
    ['AGENT', 'NAME', 'STATE', 'MODE', 'CONNECTION', 'SEEN', 'CONFIG', 'UNTIL'],
    ...agents.map((agent) => [
      agent.id,
      printable(agent.name),
      agent.state,
      agent.mode,
      agent.connection,
      seconds(agent.lastSeenAt),
      configurationOf(agent),
      seconds(agent.certificateNotAfter),
    ]),
  ]);
  if (more) printError(`the first ${String(agents.length)}; --limit for more`);
}

/** All that match, up to `limit`, in the order of their ids. */
export async function readAgents(
  client: FleetClient,
  { state, mode, connected, labels }: FleetFilter,
  limit: number,
): Promise<{ readonly agents: readonly AgentSummary[]; readonly more: boolean }> {
  const agents: AgentSummary[] = [];
  let after: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(limit - agents.length, pageSize)) });
    for (const [name, value] of Object.entries({ state, mode, connected, after })) {
      if (value !== undefined) query.append(name, value);
    }
    for (const [name, value] of Object.entries(labels)) query.append('label', `${name}=${value}`);
    const path = `/v1/agents?${query.toString()}`;
    const page = await client.call({ method: 'GET', path }, agentsPage);
    agents.push(...page.agents);
    after = page.next;
  } while (after !== undefined && agents.length < limit);
  return { agents, more: after !== undefined };
}

export async function showFleetAgent(
  client: FleetClient,
  name: string,
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  printDetail(await client.call({ method: 'GET', path: `/v1/agents/${id}` }, agentDetail), format);
}

/** Asks the agent itself, now. */
export async function showStatus(
  client: FleetClient,
  name: string,
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const now = await client.call({ method: 'GET', path: `/v1/agents/${id}/status` }, status);
  if (format === 'json') {
    print(JSON.stringify(now, null, 2));
    return;
  }
  printFacts([
    ['host', now.hostname],
    ['system', now.system],
    ['time', now.time],
    ['up', `${String(Math.floor(now.uptimeSeconds / 3600))} h`],
    ['load', now.load.map((value) => value.toFixed(2)).join(' ')],
    [
      'memory',
      `${mebibytes(now.memory.availableBytes)} of ${mebibytes(now.memory.totalBytes)} free`,
    ],
    ...now.disks.map(
      ({ path, availableBytes, totalBytes }) =>
        [`disk ${path}`, `${mebibytes(availableBytes)} of ${mebibytes(totalBytes)} free`] as const,
    ),
    ...now.files.map(({ path, state }) => [`file ${path}`, state] as const),
    ['ports', now.ports.map(({ protocol, port }) => `${protocol}/${String(port)}`).join(' ')],
  ]);
}

/** Names an agent for the manager to dial, by the hash of its bootstrap key. */
export async function registerAgent(
  client: FleetClient,
  body: z.input<typeof registration>,
  format: OutputFormat,
): Promise<void> {
  const agent = await client.call(
    { method: 'POST', path: '/v1/agents', body: registration.parse(body) },
    agentDetail,
  );
  if (format === 'json') print(JSON.stringify(agent, null, 2));
  else print(`${agent.id} is ${agent.state}`);
}

/** With a bundle: has a registered agent enrol with it. Without: lets in one that waits. */
export async function activateAgent(
  client: FleetClient,
  name: string,
  bundleFile: string | undefined,
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const bytes = bundleFile === undefined ? undefined : await readFile(bundleFile);
  try {
    const agent = await client.call(
      {
        method: 'POST',
        path: `/v1/agents/${id}/activate`,
        ...(bytes === undefined ? {} : { body: { type: contentTypes.bundle, bytes } }),
      },
      agentDetail,
    );
    printChange(agent, format);
  } finally {
    bytes?.fill(0);
  }
}

/** What an administrator can make of an agent, with a reason. */
export const stateChanges = ['deactivate', 'quarantine', 'release', 'forget', 'rotate'] as const;
export type StateChange = (typeof stateChanges)[number];

export async function changeFleetAgent(
  client: FleetClient,
  name: string,
  change: StateChange,
  reason: string,
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const path = `/v1/agents/${id}/${change}`;
  const agent = await client.call({ method: 'POST', path, body: { reason } }, agentDetail);
  printChange(agent, format);
}

export async function changeMode(
  client: FleetClient,
  name: string,
  change: { readonly mode: ConnectionMode; readonly address?: string },
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const body = modeChange.parse(change);
  const path = `/v1/agents/${id}/mode`;
  printChange(await client.call({ method: 'POST', path, body }, agentDetail), format);
}

export async function showEvents(
  client: FleetClient,
  name: string,
  { after, limit }: { readonly after: number; readonly limit: number },
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const path = `/v1/agents/${id}/events?after=${String(after)}&limit=${String(Math.min(limit, 1000))}`;
  const { events, head } = await client.call({ method: 'GET', path }, storedEvents);
  printList(format, events, [
    ['SEQ', 'AT', 'KIND', 'MESSAGE'],
    ...events.map((event) => [
      String(event.seq),
      seconds(event.at),
      event.kind,
      printable(event.message),
    ]),
  ]);
  const last = events.at(-1)?.seq ?? after;
  if (last < head)
    printError(`up to ${String(last)} of ${String(head)}; --after ${String(last)} for more`);
}

export async function showHistory(
  client: FleetClient,
  name: string,
  format: OutputFormat,
): Promise<void> {
  const id = await findAgent(client, name);
  const { beats } = await client.call({ method: 'GET', path: `/v1/agents/${id}/history` }, history);
  printList(format, beats, [
    ['AT', 'HEARTBEAT', 'ROUND TRIP', 'CLOCK'],
    ...beats.map((beat) => [
      seconds(beat.at),
      beat.outcome,
      beat.roundTripMs === undefined ? '' : `${beat.roundTripMs.toFixed(1)} ms`,
      beat.clockOffsetMs === undefined ? '' : `${(beat.clockOffsetMs / 1000).toFixed(1)} s`,
    ]),
  ]);
}

/** The id of an agent, given by id, SPIFFE ID, or a name that only one has. */
export async function findAgent(client: FleetClient, name: string): Promise<string> {
  if (uuid.test(name)) return name.toLowerCase();
  const ofSpiffeId = /^spiffe:\/\/[^/]+\/agent\/([0-9a-f-]{36})$/u.exec(name)?.[1];
  if (ofSpiffeId !== undefined && uuid.test(ofSpiffeId)) return ofSpiffeId;
  const { agents } = await readAgents(client, { labels: {} }, mostNamed);
  const named = agents.filter((agent) => agent.name === name);
  const [one, another] = named;
  if (one === undefined) throw new ManagerError(`no agent is called "${name}"`, 'not_found');
  if (another !== undefined) {
    throw new ManagerError(
      `${String(named.length)} agents are called "${name}": give an id`,
      'ambiguous_name',
    );
  }
  return one.id;
}

function printDetail(agent: AgentDetail, format: OutputFormat): void {
  if (format === 'json') {
    print(JSON.stringify(agent, null, 2));
    return;
  }
  printFacts([
    ['agent', agent.id],
    ['name', agent.name],
    ['SPIFFE ID', agent.spiffeId ?? ''],
    ['state', agent.reason === undefined ? agent.state : `${agent.state}: ${agent.reason}`],
    ['mode', agent.mode],
    ['address', agent.address ?? ''],
    ['connection', agent.connection],
    ['registered', seconds(agent.registeredAt)],
    [
      'activated',
      agent.activatedAt === undefined
        ? ''
        : `${seconds(agent.activatedAt)} by ${agent.activatedBy ?? ''}`,
    ],
    ['last seen', seconds(agent.lastSeenAt)],
    ['heartbeats missed', agent.missed === 0 ? '' : String(agent.missed)],
    ['certificate until', seconds(agent.certificateNotAfter)],
    [
      'bootstrap key',
      agent.bootstrapKeyHash === undefined ? '' : `sha256:${agent.bootstrapKeyHash}`,
    ],
    ['TLS floor', agent.tlsMinVersion ?? ''],
    ['version', agent.version ?? ''],
    ['configuration', configurationOf(agent)],
    ['events pulled', String(agent.eventsPulled)],
    ['labels', formatProperties(agent.labels)],
    ...agent.problems.map((problem) => ['problem', problem] as const),
  ]);
}

function printChange(agent: AgentDetail, format: OutputFormat): void {
  if (format === 'json') print(JSON.stringify(agent, null, 2));
  else print(`${printable(agent.name)} (${agent.id}) is ${agent.state}, ${agent.mode}`);
}

/** `3`, or `2 of 3` where the newest is not in force yet. */
function configurationOf({ desired, effective }: AgentSummary): string {
  const current = desired.version === effective.version && desired.hash === effective.hash;
  return current
    ? String(effective.version)
    : `${String(effective.version)} of ${String(desired.version)}`;
}

function seconds(moment: string | undefined): string {
  return moment === undefined ? '' : `${moment.slice(0, 19)}Z`;
}

function mebibytes(bytes: number): string {
  return `${String(Math.round(bytes / 1_048_576))} MiB`;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu;
const pageSize = 1000;
/** Names are looked for among so many. */
const mostNamed = 100_000;
