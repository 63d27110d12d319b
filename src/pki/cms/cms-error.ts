/** Why a CMS structure is not accepted. */
export type CmsReason =
  | 'malformed'
  | 'too_large'
  | 'unsupported_content'
  | 'unsupported_algorithm'
  | 'unsupported_recipient'
  | 'several_signers'
  | 'not_signed'
  | 'content_detached'
  | 'attributes_unusable'
  | 'signer_missing'
  | 'digest_mismatch'
  | 'signature_invalid'
  | 'recipient_mismatch'
  | 'key_unwrap_failed'
  | 'content_decryption_failed';

/**
 * A CMS structure that we do not accept. `reason` is stable and for programs; `message` is one sentence
 * for a person. Neither holds a secret. Whoever answers strangers gives them neither: which of the two
 * last reasons it was is what a decryption oracle is made of.
 */
export class CmsError extends Error {
  override readonly name = 'CmsError';
  readonly reason: CmsReason;

  constructor(reason: CmsReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
