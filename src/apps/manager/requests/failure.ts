/** What an agent answered breaks what was agreed on; the connection it came over is ended. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

/** The agent said no, by the rules. */
export class AgentRefusal extends Error {
  override readonly name = 'AgentRefusal';
  readonly status: number;
  /** A key of `agentErrors`, or one of a later version. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether it may say something else the next time. */
  get isTransient(): boolean {
    return transient.has(this.code);
  }
}

/** There is no connection, it broke, or it took too long. What was asked may have been done. */
export class AgentUnreachable extends Error {
  override readonly name = 'AgentUnreachable';
}

const transient = new Set(['too_many_requests', 'unavailable', 'deadline_exceeded', 'internal']);
