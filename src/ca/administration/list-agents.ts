import type {
  Agent,
  ListAgentsRequest,
  ListAgentsResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AgentState, Role, Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { readHostReport } from '../tls-policy/host-reports.ts';
import { parseStoredProperties } from '../tokens/properties.ts';
import { behindPage, cutPage, pageSize } from './pages.ts';
import { hasProperties, oneOf } from './search.ts';
import { bytes, moment } from './wire.ts';

/**
 * Agents, the latest enrolled first.
 *
 * @throws ServiceError `INVALID_ARGUMENT`
 */
export async function listAgents(
  queries: Queries,
  request: ListAgentsRequest,
): Promise<ListAgentsResponse> {
  const size = pageSize(request.pageSize);
  const state = oneOf('state', request.state, agentStates);
  const role = oneOf('role', request.role, roles);
  let query = queries
    .selectFrom('agent')
    .selectAll()
    .where(behindPage(request.pageToken, { at: 'enrolled_at', id: 'id' }))
    .where(hasProperties('agent', 'id', request.properties))
    .orderBy('enrolled_at', 'desc')
    .orderBy('id', 'desc')
    .limit(size + 1);
  if (request.id.length > 0) query = query.where('id', '=', request.id);
  if (request.spiffeId !== '') query = query.where('spiffe_id', '=', request.spiffeId);
  if (role !== undefined) query = query.where('role', '=', role);
  if (state !== undefined) query = query.where('state', '=', state);
  if (request.endsBefore !== undefined) {
    query = query.where('not_after', '<', request.endsBefore.getTime());
  }
  const page = cutPage(
    await query.execute(),
    size,
    (row) => ({ at: row.enrolled_at, id: row.id }),
    (row) => (row.report?.length ?? 0) + row.properties.length + fixedPart,
  );
  return { agents: page.items.map(agentMessage), nextPageToken: page.nextPageToken };
}

/**
 * One agent.
 *
 * @throws ServiceError `NOT_FOUND`
 */
export async function findAgent(queries: Queries, id: Uint8Array): Promise<Agent> {
  const row = await queries.selectFrom('agent').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new ServiceError('NOT_FOUND', 'agent_unknown', 'no such agent');
  return agentMessage(row);
}

function agentMessage(row: Row<'agent'>): Agent {
  return {
    id: bytes(row.id),
    spiffeId: row.spiffe_id,
    role: row.role,
    state: row.state,
    stateWhy: row.state_why ?? '',
    properties: { ...parseStoredProperties(row.properties) },
    generation: row.generation,
    currentSerial: bytes(row.current_serial),
    pendingSerial: bytes(row.pending_serial),
    notAfter: moment(row.not_after),
    enrolledAt: moment(row.enrolled_at),
    lastSeenAt: moment(row.last_seen_at),
    activatedAt: moment(row.activated_at),
    activatedBy: row.activated_by ?? '',
    bundleAck: BigInt(row.bundle_ack),
    feedAck: BigInt(row.feed_ack),
    tlsPolicyAck: BigInt(row.tls_policy_ack),
    sourceToken: bytes(row.source_token),
    report: readHostReport(row.report),
    policy: `${row.policy}/${String(row.policy_version)}`,
  };
}

/** Everything of an agent but what hosts and operators write. */
const fixedPart = 768;

const agentStates: readonly AgentState[] = [
  'enrolled',
  'active',
  'suspended',
  'quarantined',
  'banned',
  'retired',
];
const roles: readonly Role[] = ['authority', 'manager', 'agent', 'service', 'operator'];
