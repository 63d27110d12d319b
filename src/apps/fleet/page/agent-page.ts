import type { z } from 'zod';
import type { AgentDetail, history } from '../admin-api/messages.ts';
import type { AgentEvent } from '../agent-api/messages.ts';
import { configurationOf, connectionOf, expiryOf, heartbeatOf, stateOf } from './agent-facts.ts';
import { historyPlot } from './history-plot.ts';
import { page } from './layout.ts';
import { html, type Markup } from './markup.ts';
import { relative } from './moments.ts';

export interface AgentView {
  readonly agent: AgentDetail;
  readonly history: z.infer<typeof history>;
  /** Oldest first. */
  readonly events: readonly AgentEvent[];
  readonly now: Date;
}

/** One agent: what is known of it, its heartbeats, and what happened there last. */
export function agentPage({ agent, history: { beats }, events, now }: AgentView): string {
  return page(
    agent.name,
    html`<header>
        <p><a href="/">Fleet</a></p>
        <h1>${agent.name}</h1>
        <p>${agent.spiffeId ?? agent.id}</p>
      </header>
      ${agent.problems.map((problem) => html`<p class="problem">${problem}</p>`)}
      <h2>Facts</h2>
      <dl>
        ${facts(agent, now).map(
          ([name, value]) => html`
            <dt>${name}</dt>
            <dd>${value}</dd>
          `,
        )}
      </dl>
      <h2>Heartbeats</h2>
      ${historyPlot(beats)}
      <h2>Events</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Number</th>
              <th>When</th>
              <th>Kind</th>
              <th>What</th>
            </tr>
          </thead>
          <tbody>
            ${events.toReversed().map(
              (event) =>
                html`<tr>
                  <td>${event.seq}</td>
                  <td>${relative(event.at, now)}</td>
                  <td>${event.kind}</td>
                  <td class="wide">${event.message}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`,
  );
}

function facts(agent: AgentDetail, now: Date): readonly (readonly [string, Markup])[] {
  const optional = (name: string, value: string | undefined): readonly [string, Markup][] =>
    value === undefined ? [] : [[name, html`${value}`]];
  return [
    ['State', stateOf(agent.state)],
    ...optional('Reason', agent.reason),
    ['Mode', html`${agent.mode}`],
    ['Connection', connectionOf(agent)],
    ...optional('Address', agent.address),
    ['Heartbeat', heartbeatOf(agent, now)],
    ['Certificate ends', expiryOf(agent, now)],
    ...optional('TLS floor', agent.tlsMinVersion),
    ['Configuration', configurationOf(agent)],
    ...optional('Version', agent.version),
    [
      'Activated',
      agent.activatedAt === undefined
        ? html`<span class="none">never</span>`
        : html`${relative(agent.activatedAt, now)} by ${agent.activatedBy ?? 'policy'}`,
    ],
    ...Object.entries(agent.labels).map(([name, value]) => [name, html`${value}`] as const),
  ];
}
