import { FollowTrustResponse } from '../../gen/sidekey/v1/certificate_authority.ts';

/**
 * Encodes a message at most once, however many hosts it goes to. For the `responseSerialize` of
 * `FollowTrust`; a message must not be changed once it was sent.
 */
export function serializeFollowTrustResponse(message: FollowTrustResponse): Buffer {
  const known = encoded.get(message);
  if (known !== undefined) return known;
  const bytes = Buffer.from(FollowTrustResponse.encode(message).finish());
  encoded.set(message, bytes);
  return bytes;
}

/** The service definition with that: what to give to gRPC. */
export function withSharedEncoding<Definition extends { readonly followTrust: object }>(
  definition: Definition,
): Definition {
  return {
    ...definition,
    followTrust: { ...definition.followTrust, responseSerialize: serializeFollowTrustResponse },
  };
}

const encoded = new WeakMap<FollowTrustResponse, Buffer>();
