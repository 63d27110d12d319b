/** What is wrong with a body; these are codes of `agentErrors`, too. */
export type BodyProblem = 'malformed_request' | 'body_too_large' | 'unsupported_content';

/** A body that is not taken. The message says why, in words fit for the other side: nothing of the body is in it. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly code: BodyProblem;

  constructor(code: BodyProblem, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
