/**
 * What ends for good when an identity enrols, and begins anew only when that enrolment is forgotten: the
 * bootstrap identity of a host. Both are durable when they resolve, and may be asked for again.
 */
export interface EnrolmentLatch {
  /** The identity has enrolled. Rejects with an error that names the file that cannot be written. */
  shut(): Promise<void>;
  /** The enrolment is forgotten. Rejects likewise. */
  reopen(): Promise<void>;
}
