import { CertificateError } from '../certificate-error.ts';
import { DerError } from '../der.ts';
import { CmsError } from './cms-error.ts';

/** The longest structure we look at: more than any wire limit here. */
export const MAX_CMS_BYTES = 16 * 1024 * 1024;

/**
 * Reads a CMS structure, with the reader's errors as ours; `what` begins the message. The bytes given to
 * `read` are a plain view, which is cheaper to slice than a `Buffer`.
 */
export function reading<Value>(
  what: string,
  der: Uint8Array,
  read: (bytes: Uint8Array) => Value,
): Value {
  if (der.length > MAX_CMS_BYTES) {
    throw new CmsError('too_large', `${what} is longer than ${String(MAX_CMS_BYTES)} bytes`);
  }
  try {
    return read(new Uint8Array(der.buffer, der.byteOffset, der.byteLength));
  } catch (cause) {
    if (cause instanceof DerError) {
      throw new CmsError('malformed', `${what} ${cause.message}`, { cause });
    }
    if (cause instanceof CertificateError) {
      throw new CmsError('malformed', `${what}: ${cause.message}`, { cause });
    }
    throw cause;
  }
}
