import { z } from 'zod';
import { fleetStates } from '../../fleet/admin-api/messages.ts';
import { agentPage, fleetPage, pageHeaders, style } from '../../fleet/page/index.ts';
import type { Administration } from './administration.ts';
import { queryOf } from './answer.ts';

/** Something for a browser. */
export interface PageAnswer {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Renders the page at a path; `undefined`: there is none. Pages only look. */
export async function renderPage(
  administration: Administration,
  target: string,
  now: Date,
): Promise<PageAnswer | undefined> {
  const [path = '', query = ''] = target.split('?', 2);
  if (path === '/style.css') {
    return { body: style, headers: { 'content-type': 'text/css', 'cache-control': 'max-age=300' } };
  }
  if (path === '/') {
    const { state, after } = queryOf({ query: new URLSearchParams(query) }, fleetQuery);
    const [manager, agents] = await Promise.all([
      administration.status(),
      administration.listAgents({ state, after, limit: rowsPerPage }),
    ]);
    return { body: fleetPage({ manager, agents, state, now }), headers: pageHeaders };
  }
  const id = /^\/agents\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/u.exec(path)?.[1];
  if (id === undefined) return undefined;
  const agent = await administration.showAgent(id);
  const [history, { events }] = await Promise.all([
    administration.history(id),
    administration.events(id, {
      after: Math.max(0, agent.eventsPulled - shownEvents),
      limit: shownEvents,
    }),
  ]);
  return { body: agentPage({ agent, history, events, now }), headers: pageHeaders };
}

const fleetQuery = z.strictObject({
  state: z.enum(fleetStates).optional(),
  after: z.uuid().optional(),
});
const rowsPerPage = 200;
const shownEvents = 50;
