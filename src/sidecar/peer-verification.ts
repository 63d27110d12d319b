import { equal, toHex } from '../bytes/bytes.ts';
import { hash } from '../crypto/hash.ts';
import {
  type Certificate,
  CertificateError,
  matchesDnsName,
  matchesIpAddress,
  matchesSpiffePattern,
  parseCertificate,
  spiffeIdOf,
  type SpiffePattern,
  verifySelfSigned,
} from '../pki/index.ts';
import type { ChainVerdict, VerifyChainAction } from '../tls/config.ts';
import type {
  HandshakeRequest,
  ProvableName,
  TargetHost,
  TargetIdentity,
} from './handshake-request.ts';
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

/** What a caller, or the configuration, wants of a peer besides what the request says. */
export interface PeerRules {
  readonly now: Date;
  /** Of our identity: whom it talks to among those it trusts; empty: all. */
  readonly peers: readonly SpiffePattern[];
}

/**
 * Judges a peer's chain: whether a trusted issuer vouches for it and has not revoked it by a staple, and
 * whether it is who the caller wants to talk to. A chain that is good but somebody else's is refused.
 */
export function judgePeer(
  { certificates, stapledOcsp }: PresentedChain,
  request: HandshakeRequest,
  trust: PeerTrust,
  rules: PeerRules,
): PeerJudgement {
  try {
    if (request.pinnedPublicKeys.length > 0) {
      return accept(pinnedLeaf(certificates, request, trust, rules.now), undefined);
    }
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
    requireAllowed(chain.leaf, rules.peers);
    if (request.role === 'server') requireAllowed(chain.leaf, request.allowedPeers);
    return accept(chain.leaf, identity);
  } catch (error) {
    if (!(error instanceof CertificateError || error instanceof PeerRefused)) throw error;
    const { alert, reason, message } = error;
    return { verdict: { ok: false, alert, reason, message } };
  }
}

/**
 * A peer known by its key alone: the certificate says nothing but which key that is, so it has to be its
 * own issuer. What it may be used for and until when holds as for any other.
 */
function pinnedLeaf(
  certificates: readonly Uint8Array[],
  { role, pinnedPublicKeys }: HandshakeRequest,
  trust: PeerTrust,
  now: Date,
): Certificate {
  const [der, second] = certificates;
  if (der === undefined || second !== undefined) {
    throw new CertificateError(
      'bad_certificate',
      'peer_not_self_signed',
      'a peer that is known by its key shows one certificate, which is self-signed',
    );
  }
  const leaf = parseCertificate(der);
  const keyHash = hash('sha256', leaf.publicKeyInfo);
  if (!pinnedPublicKeys.some((pinned) => equal(pinned, keyHash))) {
    throw new PeerRefused(
      'access_denied',
      'peer_key_not_pinned',
      `the public key of the peer, sha256:${toHex(keyHash)}, is none of those that are pinned`,
    );
  }
  verifySelfSigned(leaf, { now, purpose: role === 'client' ? 'server' : 'client' });
  if (trust.isRevoked(leaf)) {
    throw new CertificateError(
      'certificate_revoked',
      'certificate_revoked',
      'the certificate of the peer was revoked',
    );
  }
  return leaf;
}

/** Refuses in the handshake: a peer of the wrong role gets no byte of the application. */
function requireAllowed(leaf: Certificate, allowed: readonly SpiffePattern[]): void {
  if (allowed.length === 0) return;
  const id = spiffeIdOf(leaf);
  if (id !== undefined && allowed.some((pattern) => matchesSpiffePattern(pattern, id))) return;
  throw new PeerRefused(
    'access_denied',
    'peer_identity_mismatch',
    `the peer is ${id ?? firstName(leaf)}, none of those allowed`,
  );
}

function accept(leaf: Certificate, identity: ProvableName | undefined): PeerJudgement {
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
  targetIdentities: readonly TargetIdentity[],
): ProvableName | undefined {
  const id = spiffeIdOf(leaf);
  const spiffe = id === undefined ? undefined : ({ kind: 'spiffe', id } as const);
  if (targetIdentities.length > 0) {
    const matched = targetIdentities.find((wanted) =>
      wanted.kind === 'dns'
        ? matchesDnsName(leaf, wanted.name)
        : id !== undefined && matchesSpiffePattern(wanted.pattern, id),
    );
    if (matched !== undefined) return spiffe ?? (matched.kind === 'dns' ? matched : undefined);
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
