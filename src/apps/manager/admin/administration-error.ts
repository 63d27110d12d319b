import { agentErrors, type AgentErrorCode } from '../../fleet/agent-api/errors.ts';

/** An order that is refused; its message is for the person who gave it. */
export class AdministrationError extends Error {
  override readonly name = 'AdministrationError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Of HTTP. */
  get status(): number {
    return agentErrors[this.code];
  }
}
