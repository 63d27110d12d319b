import type { z } from 'zod';
import {
  agentsQuery,
  configurationOrder,
  modeChange,
  operationOrder,
  pageQuery,
  reasoned,
  registration,
  targetsQuery,
} from '../../fleet/admin-api/messages.ts';
import { contentTypes } from '../../fleet/agent-api/verbs.ts';
import type { Administration, AgentChange, Order } from './administration.ts';
import { AdministrationError } from './administration-error.ts';
import type { MatchedRoute, RouteName } from './route.ts';

/** A request for one route, its body not read yet. */
export interface AdminRequest extends MatchedRoute {
  readonly order: Order;
  /** What the body holds, none of it: `{}`. Rejects with `BodyError`. */
  readonly json: <Schema extends z.ZodType>(schema: Schema) => Promise<z.output<Schema>>;
  /** The body as it is; absent: there is none. Of this content type only. */
  readonly bytes: (contentType: string) => Promise<Uint8Array | undefined>;
}

/** Has one route answered: one order, one method. */
export async function answer(
  administration: Administration,
  request: AdminRequest,
): Promise<unknown> {
  return await answers[request.name](administration, request);
}

type Answer = (administration: Administration, request: AdminRequest) => Promise<unknown>;

const answers: Readonly<Record<RouteName, Answer>> = {
  'GET /v1/manager': (administration) => administration.status(),
  'GET /v1/agents': (administration, request) =>
    administration.listAgents(queryOf(request, agentsQuery)),
  'POST /v1/agents': async (administration, { json, order }) =>
    administration.register(await json(registration), order),
  'GET /v1/agents/{id}': (administration, { id }) => administration.showAgent(id),
  'GET /v1/agents/{id}/status': (administration, { id }) => administration.agentStatus(id),
  'GET /v1/agents/{id}/configuration': (administration, { id }) =>
    administration.effectiveConfiguration(id),
  'GET /v1/agents/{id}/events': (administration, request) =>
    administration.events(request.id, queryOf(request, pageQuery)),
  'GET /v1/agents/{id}/history': (administration, { id }) => administration.history(id),
  'POST /v1/agents/{id}/activate': async (administration, { id, bytes, order }) => {
    const bundle = await bytes(contentTypes.bundle);
    try {
      return await administration.activate(id, bundle, order);
    } finally {
      bundle?.fill(0);
    }
  },
  'POST /v1/agents/{id}/mode': async (administration, { id, json, order }) =>
    administration.changeMode(id, await json(modeChange), order),
  'POST /v1/agents/{id}/rotate': changing('rotate'),
  'POST /v1/agents/{id}/deactivate': changing('deactivate'),
  'POST /v1/agents/{id}/quarantine': changing('quarantine'),
  'POST /v1/agents/{id}/release': changing('release'),
  'POST /v1/agents/{id}/forget': changing('forget'),
  'PUT /v1/configuration': async (administration, { json, order }) =>
    administration.configure(await json(configurationOrder), order),
  'GET /v1/jobs': (administration) => administration.listJobs(),
  'POST /v1/jobs': async (administration, { json, order }) => {
    if (order.idempotencyKey === undefined) {
      throw new AdministrationError('malformed_request', 'header idempotency-key is needed');
    }
    return administration.operate(await json(operationOrder), order);
  },
  'GET /v1/jobs/{id}': (administration, { id }) => administration.showJob(id),
  'GET /v1/jobs/{id}/targets': (administration, request) =>
    administration.jobTargets(request.id, queryOf(request, targetsQuery)),
  'POST /v1/jobs/{id}/resume': async (administration, { id, json, order }) => {
    await json(reasoned);
    return administration.resumeJob(id, order);
  },
  'GET /v1/audit': (administration, request) => administration.audit(queryOf(request, pageQuery)),
};

function changing(change: AgentChange): Answer {
  return async (administration, { id, json, order }) => {
    const { reason } = await json(reasoned);
    return administration.change(id, change, reason, order);
  };
}

/** A name that stands several times is a list. */
export function queryOf<Schema extends z.ZodType>(
  { query }: Pick<AdminRequest, 'query'>,
  schema: Schema,
): z.output<Schema> {
  const given = Object.fromEntries(
    [...new Set(query.keys())].map((name) => {
      const values = query.getAll(name);
      return [name, values.length === 1 ? values[0] : values] as const;
    }),
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AdministrationError(
    'malformed_request',
    `query: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`.slice(0, 300),
  );
}
