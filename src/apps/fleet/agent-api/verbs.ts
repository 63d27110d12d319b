import type { AgentState } from './messages.ts';

/** One thing a manager may ask of an agent. `{x}` stands for one path segment. */
export interface Verb {
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  /** States of the agent in which it answers; in any other the answer is `not_in_this_state`. */
  readonly states: readonly AgentState[];
}

const always: readonly AgentState[] = ['bootstrapped', 'activating', 'active', 'deactivated'];
const active: readonly AgentState[] = ['active'];

/**
 * Everything an agent answers. An unknown path is `not_found` in every state; before the state is
 * looked at, the handshake has proved that the peer is a manager this agent obeys.
 */
export const verbs = {
  health: { name: 'health', method: 'GET', path: '/healthz', states: always },
  hello: { name: 'hello', method: 'GET', path: '/v1/hello', states: always },
  activate: {
    name: 'activate',
    method: 'POST',
    path: '/v1/activate',
    states: ['bootstrapped', 'activating'],
  },
  status: { name: 'status', method: 'GET', path: '/v1/status', states: active },
  events: { name: 'events', method: 'GET', path: '/v1/events', states: active },
  heartbeat: { name: 'heartbeat', method: 'POST', path: '/v1/heartbeat', states: active },
  configure: { name: 'configure', method: 'PUT', path: '/v1/config', states: active },
  /** The certificate configurations are sealed for. */
  recipient: { name: 'recipient', method: 'GET', path: '/v1/recipient', states: active },
  effective: { name: 'effective', method: 'GET', path: '/v1/config/effective', states: active },
  operate: { name: 'operate', method: 'POST', path: '/v1/ops/{name}', states: active },
  operation: { name: 'operation', method: 'GET', path: '/v1/ops/{id}', states: active },
  mode: { name: 'mode', method: 'PUT', path: '/v1/mode', states: active },
  rotate: { name: 'rotate', method: 'POST', path: '/v1/rotate', states: active },
  deactivate: { name: 'deactivate', method: 'POST', path: '/v1/deactivate', states: active },
} as const satisfies Record<string, Verb>;

export type VerbName = keyof typeof verbs;

/**
 * Header fields of every request. `requestId` names it in both logs; `deadlineMs` is how long the manager waits, in
 * milliseconds; `idempotencyKey` is needed by `activate` and `operate`, which are done once for each key.
 */
export const headerFields = {
  requestId: 'sidekey-request-id',
  deadlineMs: 'sidekey-deadline-ms',
  idempotencyKey: 'idempotency-key',
} as const;

/** Content types of bodies that are not JSON: an enrolment bundle (`activate`), a sealed configuration (`configure`). */
export const contentTypes = {
  json: 'application/json',
  bundle: 'application/x-pem-file',
  configuration: 'application/cms',
} as const;
