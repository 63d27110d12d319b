import type { AgentSummary, FleetState } from '../admin-api/messages.ts';
import { html, type Markup } from './markup.ts';
import { relative } from './moments.ts';

/** A state with its colour. */
export function stateOf(state: FleetState): Markup {
  return html`<span class="state ${mood[state]}">${state}</span>`;
}

/** When a certificate ends; coloured when it should have been renewed by now. */
export function expiryOf({ certificateNotAfter }: AgentSummary, now: Date): Markup {
  if (certificateNotAfter === undefined) return html`<span class="none">none</span>`;
  const leftMs = Date.parse(certificateNotAfter) - now.getTime();
  const look = leftMs <= 0 ? 'over' : leftMs < soonMs ? 'soon' : 'far';
  return html`<span class="${look}">${relative(certificateNotAfter, now)}</span>`;
}

/** When an agent was heard of last, and how often not since. */
export function heartbeatOf({ lastSeenAt, missed }: AgentSummary, now: Date): Markup {
  if (missed === 0) return relative(lastSeenAt, now);
  return html`${relative(lastSeenAt, now)} <span class="problem">${missed} missed</span>`;
}

/** `none`, `3`, or `2 → 3` where the newest is not in force yet. */
export function configurationOf({ desired, effective }: AgentSummary): Markup {
  if (desired.version === 0 && effective.version === 0) {
    return html`<span class="none">none</span>`;
  }
  const current = desired.version === effective.version && desired.hash === effective.hash;
  return current
    ? html`${effective.version}`
    : html`${effective.version} <span class="soon">→ ${desired.version}</span>`;
}

/** Who opened the connection there is. */
export function connectionOf({ connection }: AgentSummary): Markup {
  if (connection === 'none') return html`<span class="none">none</span>`;
  return html`by the ${connection === 'dialled' ? 'manager' : 'agent'}`;
}

const mood: Readonly<Record<FleetState, 'good' | 'warn' | 'bad' | 'quiet'>> = {
  registered: 'quiet',
  pending: 'warn',
  activating: 'warn',
  active: 'good',
  deactivated: 'quiet',
  quarantined: 'bad',
  revoked: 'bad',
};
/** Certificates live a day by default, and are renewed at 80 % of it at the latest. */
const soonMs = 3 * 3_600_000;
