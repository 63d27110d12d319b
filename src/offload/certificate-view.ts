import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';

/** The first certificate of a chain as Node's class, or `undefined` if there is none. */
export function x509(chain: readonly Uint8Array[]): X509Certificate | undefined {
  const [leaf] = chain;
  return leaf === undefined ? undefined : new X509Certificate(leaf);
}

/** A chain in the shape `tls.TLSSocket#getPeerCertificate` has had since long ago. */
export function legacyCertificate(
  chain: readonly Uint8Array[],
  detailed: boolean,
): PeerCertificate | Record<string, never> {
  const [leaf, ...issuers] = chain.map((der) => new X509Certificate(der).toLegacyObject());
  if (leaf === undefined) return {};
  if (!detailed) return leaf;
  let below = leaf as DetailedPeerCertificate;
  for (const issuer of issuers) {
    below.issuerCertificate = issuer as DetailedPeerCertificate;
    below = below.issuerCertificate;
  }
  // Node ends the chain with a certificate that points at itself.
  below.issuerCertificate = below;
  return leaf;
}
