/**
 * Steps of enrolling and renewing, in their order. Whatever happens after one of them, the host comes
 * back by itself, as the same agent.
 */
export type HostPoint =
  /** New keys exist in memory only. */
  | 'host.after_keys'
  /** Keys, requests and the token to be used are on disk. */
  | 'host.after_pending'
  /** The authority's answer came and is good. */
  | 'host.after_answer'
  /** The trust bundle of the answer is on disk. */
  | 'host.after_trust'
  /** The new certificates are on disk, once … */
  | 'host.after_current'
  /** … and twice. */
  | 'host.after_copy'
  /** What was pending is gone. */
  | 'host.after_cleared'
  /** The authority knows that the new certificates arrived … */
  | 'host.after_confirm'
  /** … and so do we. */
  | 'host.after_confirmed'
  /** It is on disk that the bootstrap identity is shut for good. */
  | 'host.after_shut'
  /** It is on disk that the enrolment is to be forgotten. */
  | 'host.after_marked'
  /** Keys, certificates and trust of the enrolment are gone. */
  | 'host.after_removed'
  /** A new bootstrap key is on disk. */
  | 'host.after_bootstrap'
  /** Nothing of the enrolment is left. */
  | 'host.after_forgotten';
