import {
  type ComponentListener,
  type GetTlsPolicyRequest,
  type GetTlsPolicyResponse,
  SetTlsPolicyRequest,
  SetTlsPolicyResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import { type Blockers, findBlockers } from '../tls-policy/blockers.ts';
import { currentTlsPolicy, setTlsFloor } from '../tls-policy/policy.ts';
import { parseTlsFloor, type TlsFloor } from '../tls-policy/versions.ts';
import type { AuthorityFacts } from './facts.ts';
import { listAgents } from './list-agents.ts';
import { changeOnce, done } from './once.ts';

/** The floors, and what every listener of every component says it does. */
export async function readTlsPolicy(
  context: AuthorityContext,
  facts: AuthorityFacts,
  request: GetTlsPolicyRequest,
): Promise<GetTlsPolicyResponse> {
  const { queries } = context.store;
  const tried = request.minVersion === '' ? undefined : parseTlsFloor(request.minVersion);
  const blockers = await blockersOf(context, facts, tried, request.listener);
  const { agents, nextPageToken } = await listAgents(queries, {
    id: Buffer.alloc(0),
    spiffeId: '',
    role: '',
    state: '',
    properties: {},
    endsBefore: undefined,
    pageSize: request.pageSize,
    pageToken: request.pageToken,
  });
  const now = context.now();
  const own = request.pageToken === '' ? facts.listeners() : [];
  const listeners: ComponentListener[] = [
    ...own.map((listener) => ({ component: 'authority', listener, reportedAt: now })),
    ...agents.flatMap(({ spiffeId, report, lastSeenAt }) =>
      (report?.listeners ?? []).map((listener) => ({
        component: spiffeId,
        listener,
        reportedAt: report?.hostTime ?? lastSeenAt,
      })),
    ),
  ];
  return {
    policy: await currentTlsPolicy(queries),
    listeners,
    blockers: [...blockers.first],
    blockersTotal: BigInt(blockers.total),
    nextPageToken,
  };
}

/**
 * Sets a floor.
 *
 * @throws ServiceError `INVALID_ARGUMENT` for what no floor can be; `FAILED_PRECONDITION` that names
 * who would be cut off
 */
export async function changeTlsPolicy(
  context: AuthorityContext,
  facts: AuthorityFacts,
  request: SetTlsPolicyRequest,
  caller: Caller,
): Promise<SetTlsPolicyResponse> {
  const { listener } = request;
  const reason = request.reason.trim();
  const floor = request.minVersion === '' ? undefined : parseTlsFloor(request.minVersion);
  if (floor === undefined && listener === '') {
    throw new ServiceError('INVALID_ARGUMENT', 'min_version_missing', 'min_version is missing');
  }
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$|^$/u.test(listener)) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'listener_invalid',
      'listener has to be up to 64 characters a-z 0-9 . _ -',
    );
  }
  if (request.force && reason === '') {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'reason_missing',
      'a floor is forced only with a reason, which is audited',
    );
  }
  const blockers = await blockersOf(context, facts, floor, listener);
  return await changeOnce(
    context,
    {
      caller,
      key: request.idempotencyKey,
      method: 'SetTlsPolicy',
      request: SetTlsPolicyRequest.encode(request).finish(),
    },
    SetTlsPolicyResponse,
    async (transaction) => {
      const forcedWhy = request.force ? reason : undefined;
      await setTlsFloor(transaction, { listener, floor, forcedWhy, by: caller }, blockers);
      return done({ policy: await currentTlsPolicy(transaction.queries) });
    },
  );
}

async function blockersOf(
  context: AuthorityContext,
  facts: AuthorityFacts,
  floor: TlsFloor | undefined,
  listener: string,
): Promise<Blockers> {
  if (floor === undefined) return { first: [], total: 0 };
  return await findBlockers(context.store.queries, floor, listener, facts.listeners());
}
