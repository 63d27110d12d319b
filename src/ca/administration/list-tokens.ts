import { sql } from 'kysely';
import type {
  ListTokensRequest,
  ListTokensResponse,
  Token,
} from '../../gen/sidekey/v1/administration.ts';
import type { Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { parseStoredProperties } from '../tokens/properties.ts';
import { behindPage, cutPage, pageSize } from './pages.ts';
import { hasProperties, oneOf } from './search.ts';
import { bytes, moment } from './wire.ts';

/**
 * Tokens, newest first. Those hosts renew with are listed only when asked for by their id: a fleet has
 * as many of them as renewals.
 *
 * @throws ServiceError `INVALID_ARGUMENT`
 */
export async function listTokens(
  queries: Queries,
  request: ListTokensRequest,
  now: Date,
): Promise<ListTokensResponse> {
  const size = pageSize(request.pageSize);
  const state = oneOf('state', request.state, ['usable', 'spent', 'revoked', 'expired']);
  const at = now.getTime();
  let query = queries
    .selectFrom('token')
    .selectAll()
    .where(behindPage(request.pageToken, { at: 'created_at', id: 'id' }))
    .where(hasProperties('token', 'id', request.properties))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(size + 1);
  if (request.id.length > 0) query = query.where('id', '=', request.id);
  else query = query.where('kind', '!=', 'renew');
  if (request.batchId.length > 0) query = query.where('batch', '=', request.batchId);
  switch (state) {
    case undefined:
      break;
    case 'revoked':
      query = query.where('state', '=', 'revoked');
      break;
    case 'spent':
      query = query.where('state', '=', 'active').where(sql<boolean>`uses >= cap`);
      break;
    case 'expired':
      query = unspent(query.where('expires_at', '<=', at));
      break;
    case 'usable':
      query = unspent(query.where('expires_at', '>', at));
  }
  const page = cutPage(await query.execute(), size, (row) => ({ at: row.created_at, id: row.id }));
  const agents = await agentsOf(
    queries,
    page.items.map(({ id }) => id),
  );
  return {
    tokens: page.items.map((row) => tokenMessage(row, agents.get(key(row.id)) ?? [], at)),
    nextPageToken: page.nextPageToken,
  };

  function unspent(from: typeof query): typeof query {
    return from.where('state', '=', 'active').where(sql<boolean>`uses < cap`);
  }
}

/** Who came from each of the tokens; of tokens for many, the first ones. */
async function agentsOf(
  queries: Queries,
  tokens: readonly Uint8Array[],
): Promise<ReadonlyMap<string, Buffer[]>> {
  const found = new Map<string, Buffer[]>();
  if (tokens.length === 0) return found;
  const rows = await queries
    .selectFrom('redemption')
    .select(['token', 'agent'])
    .where('token', 'in', tokens)
    .where('slot', '<', shownRedemptions)
    .orderBy('slot')
    .execute();
  for (const { token, agent } of rows) {
    const agents = found.get(key(token)) ?? [];
    agents.push(bytes(agent));
    found.set(key(token), agents);
  }
  return found;
}

function tokenMessage(row: Row<'token'>, agentIds: Buffer[], now: number): Token {
  return {
    id: bytes(row.id),
    kind: row.kind,
    state: tokenState(row, now),
    role: row.role,
    cap: row.cap,
    uses: row.uses,
    createdAt: moment(row.created_at),
    expiresAt: moment(row.expires_at),
    createdBy: row.created_by,
    batchId: bytes(row.batch),
    properties: { ...parseStoredProperties(row.properties) },
    policy: `${row.policy}/${String(row.policy_version)}`,
    agentIds,
    revokedWhy: row.revoked_why ?? '',
  };
}

function tokenState(row: Row<'token'>, now: number): string {
  if (row.state === 'revoked') return 'revoked';
  if (row.uses >= row.cap) return 'spent';
  return row.expires_at <= now ? 'expired' : 'usable';
}

function key(id: Uint8Array): string {
  return Buffer.from(id).toString('hex');
}

const shownRedemptions = 16;
