import { randomUUID } from 'node:crypto';
import {
  AdministrationServiceService as Administration,
  type Agent,
  type AgentAction,
  type ListAgentsRequest,
  type RevokeRequest,
} from '../../gen/sidekey/v1/administration.ts';
import { type OutputFormat, print, printable, printList } from '../terminal.ts';
import { BundleDirectory } from './bundle-files.ts';
import type { AuthorityClient } from './client.ts';
import { type AgentName, formatHex, formatUuid } from './identifiers.ts';
import { toJson } from './json.ts';
import { readPages } from './pages.ts';
import { counted, formatMoment, formatProperties, printFacts } from './print.ts';
import { tellMore } from './tokens.ts';

/** What agents to list; what is absent does not matter. */
export interface AgentFilter {
  readonly role: string | undefined;
  readonly state: string | undefined;
  readonly properties: Readonly<Record<string, string>>;
  /** Certificate ends within so many seconds, or has ended. */
  readonly endsWithinSeconds: number | undefined;
}

export async function listAgents(
  client: AuthorityClient,
  filter: AgentFilter,
  limit: number,
  format: OutputFormat,
): Promise<void> {
  const { endsWithinSeconds } = filter;
  const request: ListAgentsRequest = {
    ...everyAgent,
    role: filter.role ?? '',
    state: filter.state ?? '',
    properties: { ...filter.properties },
    endsBefore:
      endsWithinSeconds === undefined ? undefined : new Date(Date.now() + endsWithinSeconds * 1000),
  };
  const listed = await readPages(
    limit,
    (pageSize, pageToken) =>
      client.call(Administration.listAgents, { ...request, pageSize, pageToken }),
    ({ agents }) => agents,
  );
  printList(format, listed.items.map(agentJson), [
    ['AGENT', 'ROLE', 'STATE', 'SEEN', 'UNTIL', 'PROPERTIES'],
    ...listed.items.map((agent) => [
      formatUuid(agent.id),
      agent.role,
      agent.state,
      formatMoment(agent.lastSeenAt),
      formatMoment(agent.notAfter),
      printable(formatProperties(agent.properties)),
    ]),
  ]);
  tellMore(listed);
}

export async function showAgent(
  client: AuthorityClient,
  name: AgentName,
  format: OutputFormat,
): Promise<void> {
  printAgent(await findAgent(client, name), format);
}

/** Activates, suspends, …: what the authority allows in the state the agent is in. */
export async function changeAgent(
  client: AuthorityClient,
  name: AgentName,
  action: AgentAction,
  reason: string,
  format: OutputFormat,
): Promise<void> {
  const { agent } = await client.call(Administration.changeAgent, {
    idempotencyKey: randomUUID(),
    id: await agentId(client, name),
    action,
    reason,
  });
  if (agent === undefined) throw new Error('the authority did not say what became of the agent');
  if (format === 'json') print(JSON.stringify(agentJson(agent), null, 2));
  else print(`${agent.spiffeId} is ${agent.state}`);
}

/** Whom to revoke: one, or all who came from a token or a batch, and who would come from it. */
export type RevokedAgents =
  | { readonly kind: 'agent'; readonly name: AgentName }
  | { readonly kind: 'token' | 'batch'; readonly id: Buffer };

/** For good: all their certificates and tokens with them. */
export async function revokeAgents(
  client: AuthorityClient,
  of: RevokedAgents,
  reason: string,
  comment: string,
  format: OutputFormat,
): Promise<void> {
  const answer = await client.call(Administration.revoke, {
    idempotencyKey: randomUUID(),
    subject: await subjectOf(client, of),
    reason,
    comment,
  });
  if (format === 'json') {
    print(JSON.stringify(toJson(answer), null, 2));
    return;
  }
  const who = of.kind === 'agent' ? '' : `${counted(answer.agents, 'agent')} `;
  print(
    answer.agents === 0
      ? of.kind === 'agent'
        ? 'was revoked before'
        : `no agent is left; ${counted(answer.tokens, 'token')} revoked`
      : `${who}revoked with ${counted(answer.certificates, 'certificate')} and ${counted(answer.tokens, 'token')}; hosts that acknowledge ${String(answer.feedSequence)} know`,
  );
}

/** Writes a bundle with which an agent that lost its keys becomes itself again. */
export async function recoverAgent(
  client: AuthorityClient,
  name: AgentName,
  options: {
    readonly directory: string;
    readonly lifetimeSeconds: number;
    readonly reason: string;
  },
): Promise<void> {
  const id = await agentId(client, name);
  const directory = await BundleDirectory.open(options.directory);
  const { bundle } = await client.call(Administration.createRecovery, {
    idempotencyKey: randomUUID(),
    agentId: id,
    lifetimeSeconds: BigInt(options.lifetimeSeconds),
    reason: options.reason,
  });
  print(await directory.write(bundle, `recover-${formatUuid(id)}`, undefined));
  await directory.sync();
}

async function subjectOf(
  client: AuthorityClient,
  of: RevokedAgents,
): Promise<RevokeRequest['subject']> {
  switch (of.kind) {
    case 'agent':
      return { $case: 'agentId', value: await agentId(client, of.name) };
    case 'token':
      return { $case: 'tokenId', value: of.id };
    case 'batch':
      return { $case: 'batchId', value: of.id };
  }
}

async function agentId(client: AuthorityClient, name: AgentName): Promise<Buffer> {
  return name.kind === 'id' ? name.id : (await findAgent(client, name)).id;
}

/** @throws if there is none */
async function findAgent(client: AuthorityClient, name: AgentName): Promise<Agent> {
  const { agents } = await client.call(Administration.listAgents, {
    ...everyAgent,
    ...(name.kind === 'id' ? { id: name.id } : { spiffeId: name.spiffeId }),
    pageSize: 1,
  });
  const [agent] = agents;
  if (agent !== undefined) return agent;
  throw new Error(`there is no agent ${name.kind === 'id' ? formatUuid(name.id) : name.spiffeId}`);
}

function printAgent(agent: Agent, format: OutputFormat): void {
  if (format === 'json') {
    print(JSON.stringify(agentJson(agent), null, 2));
    return;
  }
  const { report } = agent;
  printFacts([
    ['agent', formatUuid(agent.id)],
    ['SPIFFE ID', agent.spiffeId],
    ['state', agent.stateWhy === '' ? agent.state : `${agent.state}: ${agent.stateWhy}`],
    ['properties', formatProperties(agent.properties)],
    ['policy', agent.policy],
    ['enrolled', `${formatMoment(agent.enrolledAt)} with token ${formatHex(agent.sourceToken)}`],
    [
      'activated',
      agent.activatedAt === undefined
        ? 'never'
        : `${formatMoment(agent.activatedAt)} by ${agent.activatedBy}`,
    ],
    ['last seen', formatMoment(agent.lastSeenAt)],
    ['certificate', `${formatHex(agent.currentSerial)} until ${formatMoment(agent.notAfter)}`],
    ['not seen yet', formatHex(agent.pendingSerial)],
    ['renewals', String(agent.generation - 1)],
    [
      'acknowledged',
      `bundle ${String(agent.bundleAck)}, feed ${String(agent.feedAck)}, TLS policy ${String(agent.tlsPolicyAck)}`,
    ],
    ['version', report?.version ?? ''],
    ...(report?.listeners ?? []).map(
      (listener) =>
        [
          `listener ${listener.name}`,
          `${listener.address}, ${listener.minVersion === '' ? 'no TLS' : `${listener.minVersion} to ${listener.maxVersion} (${listener.source})`}`,
        ] as const,
    ),
  ]);
}

function agentJson(agent: Agent): Readonly<Record<string, unknown>> {
  const { id, ...rest } = agent;
  return { id: formatUuid(id), ...toJson(rest) };
}

const everyAgent: ListAgentsRequest = {
  id: Buffer.alloc(0),
  spiffeId: '',
  role: '',
  state: '',
  properties: {},
  endsBefore: undefined,
  pageSize: 0,
  pageToken: '',
};
