import type { FollowTrustResponse, Revocation } from '../gen/sidekey/v1/certificate_authority.ts';
import { parseSpiffeId } from '../pki/index.ts';
import type { RevokedCertificate } from './revocation-list.ts';

/** The authority broke the rules of the feed; the message says which. */
export class FeedError extends Error {
  override readonly name = 'FeedError';
}

/** The revocations of a message. Throws {@link FeedError} for one that names nobody. */
export function revocationsOf(message: FollowTrustResponse): readonly RevokedCertificate[] {
  return message.revocations.map(revokedCertificate);
}

function revokedCertificate(wire: Revocation): RevokedCertificate {
  const { serial, spiffeId, notAfter } = wire;
  const reason = /^[A-Za-z]{1,40}$/.test(wire.reason) ? wire.reason : 'unspecified';
  if (serial.length > 0 && serial.length <= maxSerialBytes && spiffeId === '') {
    return { serial: Uint8Array.from(serial), reason, notAfter };
  }
  if (serial.length === 0 && parseSpiffeId(spiffeId) !== undefined) {
    return { spiffeId, reason, notAfter };
  }
  throw new FeedError('a revocation names neither a serial number nor a SPIFFE ID');
}

/** RFC 5280 §4.1.2.2, and a zero in front. */
const maxSerialBytes = 21;
