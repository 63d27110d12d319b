import { toHex } from '../../../bytes/bytes.ts';
import { hash } from '../../../crypto/hash.ts';
import { type OffloadSocket, parseSidekeyId } from '../../../offload/index.ts';
import { parseCertificate } from '../../../pki/index.ts';

/** Who proved to be at the other end of a connection. */
export interface PeerFacts {
  readonly spiffeId: string;
  /** Of the SPIFFE ID. */
  readonly uuid: string;
  /** SHA-256 of the public key, hex. */
  readonly keyHash: string;
  /** Milliseconds since 1970; tells which of two certificates is newer. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Names in the certificate. */
  readonly dnsNames: readonly string[];
}

/**
 * The agent behind a secured connection. The handshake let only agents of the trust domain pass; this
 * looks again. `undefined`: it is none.
 */
export function agentFacts(socket: OffloadSocket, trustDomain: string): PeerFacts | undefined {
  const id = parseSidekeyId(socket.peerIdentity);
  const [leaf] = socket.peerCertificateChain;
  if (id?.role !== 'agent' || id.trustDomain !== trustDomain || leaf === undefined) {
    return undefined;
  }
  const { notBefore, notAfter, subjectAltNames, publicKeyInfo } = parseCertificate(leaf);
  return {
    spiffeId: id.text,
    uuid: id.uuid,
    keyHash: toHex(hash('sha256', publicKeyInfo)),
    notBefore: notBefore.getTime(),
    notAfter: notAfter.getTime(),
    dnsNames: subjectAltNames.dnsNames,
  };
}
