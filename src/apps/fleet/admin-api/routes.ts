/**
 * Everything a manager answers its administrators. `{id}` is the UUID of an agent or job. Bodies and queries are in `messages.ts`, under
 * the names given here; a request that changes something is answered when it is durable.
 */
export const adminRoutes = [
  { method: 'GET', path: '/v1/manager', answer: 'managerStatus' },
  { method: 'GET', path: '/v1/agents', query: 'agentsQuery', answer: 'agentsPage' },
  { method: 'POST', path: '/v1/agents', body: 'registration', answer: 'agentDetail' },
  { method: 'GET', path: '/v1/agents/{id}', answer: 'agentDetail' },
  /** Asked of the agent now. */
  { method: 'GET', path: '/v1/agents/{id}/status', answer: 'status' },
  { method: 'GET', path: '/v1/agents/{id}/configuration', answer: 'effective' },
  { method: 'GET', path: '/v1/agents/{id}/events', query: 'pageQuery', answer: 'storedEvents' },
  { method: 'GET', path: '/v1/agents/{id}/history', answer: 'history' },
  /** A pending agent: no body. A registered one: an enrolment bundle. */
  { method: 'POST', path: '/v1/agents/{id}/activate', body: 'bundle', answer: 'agentDetail' },
  { method: 'POST', path: '/v1/agents/{id}/mode', body: 'modeChange', answer: 'agentDetail' },
  /** Has the agent renew its certificate now. */
  { method: 'POST', path: '/v1/agents/{id}/rotate', body: 'reasoned', answer: 'agentDetail' },
  { method: 'POST', path: '/v1/agents/{id}/deactivate', body: 'reasoned', answer: 'agentDetail' },
  { method: 'POST', path: '/v1/agents/{id}/quarantine', body: 'reasoned', answer: 'agentDetail' },
  { method: 'POST', path: '/v1/agents/{id}/release', body: 'reasoned', answer: 'agentDetail' },
  { method: 'POST', path: '/v1/agents/{id}/forget', body: 'reasoned', answer: 'agentDetail' },
  { method: 'PUT', path: '/v1/configuration', body: 'configurationOrder', answer: 'job' },
  /** Newest first. */
  { method: 'GET', path: '/v1/jobs', answer: 'jobsList' },
  { method: 'POST', path: '/v1/jobs', body: 'operationOrder', answer: 'job' },
  { method: 'GET', path: '/v1/jobs/{id}', answer: 'job' },
  { method: 'GET', path: '/v1/jobs/{id}/targets', query: 'targetsQuery', answer: 'jobTargets' },
  { method: 'POST', path: '/v1/jobs/{id}/resume', body: 'reasoned', answer: 'job' },
  /** What administrators did, newest first. */
  { method: 'GET', path: '/v1/audit', query: 'pageQuery', answer: 'auditPage' },
] as const;
