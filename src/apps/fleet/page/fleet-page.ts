import {
  type AgentsPage,
  type AgentSummary,
  type FleetState,
  fleetStates,
  type ManagerStatus,
} from '../admin-api/messages.ts';
import { configurationOf, connectionOf, expiryOf, heartbeatOf, stateOf } from './agent-facts.ts';
import { page } from './layout.ts';
import { html, type Markup } from './markup.ts';
import { relative } from './moments.ts';

export interface FleetView {
  readonly manager: ManagerStatus;
  readonly agents: AgentsPage;
  /** Only agents in this state are shown. */
  readonly state: FleetState | undefined;
  readonly now: Date;
}

/** All agents, and how they are. */
export function fleetPage({ manager, agents, state, now }: FleetView): string {
  return page(
    'Fleet',
    html`<header>
        <h1>Fleet</h1>
        <p>${manager.spiffeId ?? 'a manager that does not know yet who it is'}</p>
        <dl class="row">
          ${facts(manager, now).map(
            ([name, value]) =>
              html`<div>
                <dt>${name}</dt>
                <dd>${value}</dd>
              </div>`,
          )}
        </dl>
      </header>
      ${manager.problems.map((problem) => html`<p class="problem">${problem}</p>`)}
      <ul class="tiles">
        ${tile('all', undefined, total(manager), state)}
        ${fleetStates
          .filter((each) => manager.states[each] > 0 || each === state)
          .map((each) => tile(each, each, manager.states[each], state))}
      </ul>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Agent</th>
              <th>State</th>
              <th>Connection</th>
              <th>Mode</th>
              <th>Heartbeat</th>
              <th>Certificate ends</th>
              <th>TLS floor</th>
              <th>Configuration</th>
              <th>Problems</th>
            </tr>
          </thead>
          <tbody>
            ${agents.agents.map((agent) => row(agent, now))}
          </tbody>
        </table>
      </div>
      ${agents.agents.length === 0 ? html`<p class="none">no agent</p>` : ''}
      ${
        agents.next === undefined
          ? ''
          : html`<p>
              <a href="/?${state === undefined ? '' : `state=${state}&`}after=${agents.next}"
                >more</a
              >
            </p>`
      }`,
  );
}

function facts(manager: ManagerStatus, now: Date): readonly (readonly [string, Markup])[] {
  const { sweep, startedAt, version, connected } = manager;
  const facts: (readonly [string, Markup])[] = [
    ['Version', html`${version}`],
    ['Started', relative(startedAt, now)],
    ['Connected', html`${connected}`],
    ['Heartbeats missed', html`${sweep.missed}`],
  ];
  if (sweep.lastDurationMs !== undefined) {
    facts.push(
      ['Last sweep', html`${(sweep.lastDurationMs / 1000).toFixed(1)} s`],
      ['Round trip, p50', html`${(sweep.p50Ms ?? 0).toFixed(1)} ms`],
      ['Round trip, p99', html`${(sweep.p99Ms ?? 0).toFixed(1)} ms`],
    );
  }
  return facts;
}

function row(agent: AgentSummary, now: Date): Markup {
  return html`<tr>
    <td><a href="/agents/${agent.id}">${agent.name}</a></td>
    <td>${stateOf(agent.state)}</td>
    <td>${connectionOf(agent)}</td>
    <td>${agent.mode}</td>
    <td>${heartbeatOf(agent, now)}</td>
    <td>${expiryOf(agent, now)}</td>
    <td>${agent.tlsMinVersion ?? ''}</td>
    <td>${configurationOf(agent)}</td>
    <td class="wide problem">${agent.problems.join('; ')}</td>
  </tr>`;
}

function tile(
  label: string,
  state: FleetState | undefined,
  count: number,
  current: FleetState | undefined,
): Markup {
  const href = state === undefined ? '/' : `/?state=${state}`;
  return html`<li>
    ${
      state === current
        ? html`<a href="${href}" aria-current="page"><strong>${count}</strong>${label}</a>`
        : html`<a href="${href}"><strong>${count}</strong>${label}</a>`
    }
  </li>`;
}

function total({ states }: ManagerStatus): number {
  return Object.values(states).reduce((sum, count) => sum + count, 0);
}
