/** Why a configuration is not taken: for the log of the host that refuses, and for nobody else. */
export type RefusalReason =
  | 'too_large'
  | 'not_encrypted'
  | 'not_for_this_host'
  | 'not_decrypted'
  | 'not_signed'
  | 'signature_invalid'
  | 'signer_refused'
  | 'other_content'
  | 'other_agent'
  | 'expired'
  | 'signed_in_the_future'
  | 'inflation_refused';

/**
 * A sealed configuration that is not taken. The message is the same for all of them, and all that may be
 * told to whoever sent it: how far a forgery got is nobody's business. `reason` and `detail` are for the
 * log; neither holds anything of the content.
 */
export class ConfigurationRefusedError extends Error {
  override readonly name = 'ConfigurationRefusedError';
  readonly reason: RefusalReason;
  readonly detail: string;

  constructor(reason: RefusalReason, detail: string, options?: ErrorOptions) {
    super('the configuration is refused', options);
    this.reason = reason;
    this.detail = detail;
  }
}
