/** Codes of `ErrorBody` with the HTTP status each travels with. */
export const agentErrors = {
  malformed_request: 400,
  not_in_this_state: 403,
  /** The peer is no manager, or not the one this agent obeys; the handshake says so first. */
  not_a_manager: 403,
  /** Of a manager: who asks is no administrator. */
  not_an_operator: 403,
  not_for_browsers: 403,
  operation_not_allowed: 403,
  not_found: 404,
  /** Its idempotency key stands for another request. */
  idempotency_key_reused: 409,
  body_too_large: 413,
  unknown_host: 421,
  unsupported_content: 415,
  /** Sealed for another, by somebody else, too old, not to be read …: one answer for all; the agent's log has the reason. */
  configuration_refused: 422,
  /** It was valid, could not be applied, and the one before is in force again. */
  configuration_rolled_back: 409,
  too_many_requests: 429,
  internal: 500,
  enrolment_failed: 502,
  unavailable: 503,
  deadline_exceeded: 504,
} as const;

export type AgentErrorCode = keyof typeof agentErrors;
