import {
  type Certificate,
  CertificateError,
  matchesDnsName,
  matchesIpAddress,
  spiffeIdOf,
  type VerifiedChain,
} from '../pki/index.ts';
import type { ChainVerdict, VerifyChainAction } from '../tls/config.ts';
import type { HandshakeRequest, ProvableName, TargetHost } from './handshake-request.ts';
import type { PeerTrust } from './peer-trust.ts';

/** Who a peer turned out to be. */
export interface VerifiedPeer {
  /** Absent: the certificate has no name we report. */
  readonly identity: ProvableName | undefined;
  readonly fingerprint: Uint8Array;
  readonly leaf: Certificate;
}

/** Answer about a chain: for the engine, and who it is if it is good. */
export interface PeerJudgement {
  readonly verdict: ChainVerdict;
  readonly peer?: VerifiedPeer;
}

/** What a peer shows. */
export type PresentedChain = Pick<VerifyChainAction, 'certificates' | 'stapledOcsp'>;

/**
 * Judges a peer's chain: whether a trusted issuer vouches for it and has not revoked it by a staple, and
 * whether it is who the caller wants to talk to. A chain that is good but somebody else's is refused.
 */
export function judgePeer(
  { certificates, stapledOcsp }: PresentedChain,
  request: HandshakeRequest,
  trust: PeerTrust,
): PeerJudgement {
  try {
    const chain = trust.verify(certificates, {
      purpose: request.role === 'client' ? 'server' : 'client',
      requireExtendedKeyUsage: isByHostName(request),
    });
    // A client has no way to staple in TLS 1.2: what its certificate promises is for servers.
    if (request.role === 'client') trust.checkStaple(chain, stapledOcsp);
    const identity =
      request.role === 'client'
        ? requireTarget(chain.leaf, request.target, request.targetIdentities)
        : clientIdentity(chain.leaf);
    return accept(chain, identity);
  } catch (error) {
    if (!(error instanceof CertificateError || error instanceof PeerRefused)) throw error;
    const { alert, reason, message } = error;
    return { verdict: { ok: false, alert, reason, message } };
  }
}

function accept({ leaf }: VerifiedChain, identity: ProvableName | undefined): PeerJudgement {
  if (leaf.keyKind === undefined) {
    throw new CertificateError(
      'unsupported_certificate',
      'unsupported_key',
      'the peer has a kind of key this sidecar does not use',
    );
  }
  return {
    verdict: { ok: true, publicKey: leaf.publicKey, keyKind: leaf.keyKind },
    peer: { identity, fingerprint: leaf.fingerprint, leaf },
  };
}

/** A leaf without extended key usage may be anything, except where SPIFFE says what it is. */
function isByHostName(request: HandshakeRequest): boolean {
  if (request.role === 'server') return false;
  return request.targetIdentities.every(({ kind }) => kind === 'dns');
}

function clientIdentity(leaf: Certificate): ProvableName | undefined {
  const id = spiffeIdOf(leaf);
  if (id !== undefined) return { kind: 'spiffe', id };
  if (leaf.extendedKeyUsage === undefined) {
    throw new CertificateError(
      'unsupported_certificate',
      'purpose_missing',
      'the certificate has no SPIFFE ID and does not say that it is for TLS clients',
    );
  }
  const [name] = leaf.subjectAltNames.dnsNames;
  return name === undefined ? undefined : { kind: 'dns', name: name.toLowerCase() };
}

/** What the peer is called, once it is shown to be one of those that were wanted. */
function requireTarget(
  leaf: Certificate,
  target: TargetHost | undefined,
  targetIdentities: readonly ProvableName[],
): ProvableName | undefined {
  const id = spiffeIdOf(leaf);
  const spiffe = id === undefined ? undefined : ({ kind: 'spiffe', id } as const);
  if (targetIdentities.length > 0) {
    const matched = targetIdentities.find((wanted) =>
      wanted.kind === 'spiffe' ? wanted.id === id : matchesDnsName(leaf, wanted.name),
    );
    if (matched !== undefined) return spiffe ?? matched;
    throw new PeerRefused(
      'access_denied',
      'peer_identity_mismatch',
      `the peer is ${id ?? firstName(leaf)}, none of the target identities`,
    );
  }
  if (target === undefined) {
    throw new PeerRefused('access_denied', 'peer_identity_mismatch', 'no peer was named');
  }
  const matches =
    target.kind === 'ip' ? matchesIpAddress(leaf, target.name) : matchesDnsName(leaf, target.name);
  if (!matches) {
    throw new CertificateError(
      'bad_certificate',
      'name_mismatch',
      `the certificate is for ${firstName(leaf)}, not for ${target.name}`,
    );
  }
  return spiffe ?? (target.kind === 'dns' ? { kind: 'dns', name: target.name } : undefined);
}

function firstName(leaf: Certificate): string {
  const { dnsNames, uris } = leaf.subjectAltNames;
  const name = dnsNames[0] ?? uris[0] ?? 'a certificate without names';
  // A peer's text in our message: short, and nothing that a terminal would act on.
  return name.slice(0, 128).replace(/[^\x20-\x7e]/gu, '?');
}

/** A genuine peer that is not the one wanted. */
class PeerRefused extends Error {
  override readonly name = 'PeerRefused';
  readonly alert: 'access_denied';
  readonly reason: string;

  constructor(alert: 'access_denied', reason: string, message: string) {
    super(message);
    this.alert = alert;
    this.reason = reason;
  }
}
