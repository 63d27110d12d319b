import { randomBytes } from '../crypto/random.ts';
import { wipe } from '../bytes/bytes.ts';
import { generateKeyShare } from '../crypto/key-exchange.ts';
import { hash } from '../crypto/hash.ts';
import { createClientHandshake, createServerHandshake } from '../tls/index.ts';
import type {
  ClientSession,
  Credential,
  Handshake,
  HandshakeConfig,
  HandshakeResult,
  SignAction,
  TicketProtector,
  VerifyChainAction,
} from '../tls/config.ts';
import type { CipherSuite } from '../tls/cipher-suites.ts';
import { NamedGroup } from '../tls/registries.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { RateBudget } from '../rpc/rate-budget.ts';
import type { Caller } from './callers.ts';
import type { ClientAuthMode, TlsPolicy } from './config.ts';
import { EngineDriver } from './engine-driver.ts';
import type {
  ClientRequest,
  HandshakeRequest,
  ProvableName,
  ServerRequest,
} from './handshake-request.ts';
import type { IdentityStore } from './identities.ts';
import {
  allowedNames,
  selectClientIdentity,
  selectServerIdentities,
} from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';
import type { PeerTrust } from './peer-trust.ts';
import { judgePeer, type PeerRules, type VerifiedPeer } from './peer-verification.ts';
import { type ClientSessionCache, copySession, wipeSession } from './session-cache.ts';
import { signatureSchemes } from './signature-schemes.ts';
import type { Signer } from './signer.ts';

/** What handshakes of one sidecar share. */
export interface HandshakeServices {
  readonly policy: TlsPolicy;
  readonly identities: IdentityStore;
  readonly signer: Signer;
  readonly sessions: ClientSessionCache;
  /** Absent: no resumption of server sessions. */
  readonly tickets: TicketProtector | undefined;
  readonly p384: RateBudget;
  readonly now: () => Date;
  readonly nextConnectionId: () => bigint;
}

/** What a caller gets when its handshake is done. */
export interface SessionOutcome {
  readonly role: 'client' | 'server';
  readonly result: HandshakeResult;
  /** As the caller names it. */
  readonly applicationProtocol: string | undefined;
  readonly connectionId: bigint;
  readonly peerIdentity: ProvableName | undefined;
  readonly localIdentity: ProvableName | undefined;
  readonly peerFingerprint: Uint8Array | undefined;
  /** SHA-256 of the peer's public key (SubjectPublicKeyInfo). */
  readonly peerPublicKeyHash: Uint8Array | undefined;
  /** Accepted for its key alone. */
  readonly peerPinned: boolean;
  readonly localFingerprint: Uint8Array | undefined;
}

/** One handshake of a caller: the engine, the keys it may use, and whom it may talk to. */
export class OffloadedHandshake {
  readonly driver: EngineDriver;
  readonly #request: HandshakeRequest;
  readonly #services: HandshakeServices;
  readonly #identities: readonly LocalIdentity[];
  /** Of a client: whom it believes, and in which state that was at the beginning. */
  readonly #trust: PeerTrust | undefined;
  readonly #trustGeneration: number | undefined;
  readonly #session: ClientSession | undefined;
  readonly #sessionKey: string;
  readonly #resumable: boolean;
  #peer: VerifiedPeer | undefined;
  #peerTrust: PeerTrust | undefined;
  #signing: LocalIdentity | undefined;
  #offered: ClientSession | undefined;
  #result: HandshakeResult | undefined;

  /** Throws `ServiceError` if the caller asks for what it may not have. */
  constructor(
    request: HandshakeRequest,
    caller: Caller,
    services: HandshakeServices,
    onBroken: (error: unknown) => void,
  ) {
    this.#request = request;
    this.#services = services;
    requirePermission(request, caller);
    let engine: Handshake;
    if (request.role === 'client') {
      const identity = selectClientIdentity(request, caller, services.identities, services.now());
      this.#identities = identity === undefined ? [] : [identity];
      this.#resumable = this.#mayResume();
      this.#trust = identity?.trust ?? anonymousTrust(caller, services.identities);
      this.#trustGeneration = this.#trust.generation;
      this.#sessionKey = clientSessionKey(request, caller, identity, this.#trust, services);
      this.#session = this.#takeSession(this.#trust);
      engine = this.#clientEngine(request);
    } else {
      this.#identities = selectServerIdentities(
        request,
        caller,
        services.identities,
        services.now(),
      );
      this.#resumable = this.#mayResume();
      this.#sessionKey = '';
      engine = this.#serverEngine(request, caller);
    }
    this.driver = new EngineDriver(engine, {
      sign: (action) => this.#sign(action),
      verify: (action) => {
        const trust = this.#trustOf(action);
        const { verdict, peer } = judgePeer(action, request, trust, this.#rulesOf(action));
        this.#peer = peer;
        this.#peerTrust = trust;
        return verdict;
      },
      broken: onBroken,
    });
  }

  /** What we act as, as far as it is settled. */
  get localIdentity(): ProvableName | undefined {
    const only = this.#identities.length === 1 ? this.#identities[0] : undefined;
    const identity = this.#signing ?? only;
    return identity === undefined ? undefined : provableName(identity);
  }

  /**
   * Turns the engine's result into the caller's, and keeps the session for resumption. Throws
   * `ServiceError` if the peer was revoked since it was verified, or our identity has ceased to be usable: a handshake takes its time, and
   * from here on it is for the caller to hear of revocations.
   */
  complete(result: HandshakeResult): SessionOutcome {
    this.#result = result;
    if (this.#peer !== undefined && this.#peerTrust?.isRevoked(this.#peer.leaf) === true) {
      throw new ServiceError(
        'ABORTED',
        'certificate_revoked',
        'the certificate of the peer was revoked during the handshake',
      );
    }
    this.#requireUsable(result);
    this.#keepSession(result);
    const local = this.#identities.find(({ credential }) => credential === result.credential);
    const { applicationProtocol } = result;
    return {
      role: this.#request.role,
      result,
      applicationProtocol:
        applicationProtocol === 'h2' && this.#request.reportsGrpc ? 'grpc' : applicationProtocol,
      connectionId: this.#request.role === 'client' ? this.#services.nextConnectionId() : 0n,
      peerIdentity: this.#peer?.identity,
      localIdentity: local === undefined ? undefined : provableName(local),
      peerFingerprint: this.#peer?.fingerprint,
      peerPublicKeyHash: this.#peer && hash('sha256', this.#peer.leaf.publicKeyInfo),
      peerPinned: this.#request.pinnedPublicKeys.length > 0,
      localFingerprint: local?.leaf.fingerprint,
    };
  }

  /** Overwrites all secrets, also those of a result that was handed out: it must be encoded. */
  wipe(): void {
    this.driver.wipe();
    if (this.#result !== undefined) wipeResult(this.#result);
    for (const session of [this.#session, this.#offered]) {
      if (session !== undefined) wipeSession(session);
    }
  }

  #clientEngine(request: ClientRequest): Handshake {
    const { policy } = this.#services;
    // A copy: the session may have to be put back after the engine has wiped what it used.
    this.#offered = this.#session === undefined ? undefined : copySession(this.#session);
    return createClientHandshake({
      role: 'client',
      ...this.#common(),
      ...(request.target?.kind === 'dns' ? { serverName: request.target.name } : {}),
      credentials: this.#credentials(),
      requireCredential: request.identity !== undefined,
      requireRenegotiationInfo: policy.requireRenegotiationInfo,
      requireApplicationProtocol: request.requireApplicationProtocol,
      sessionTickets: this.#resumable,
      ...(this.#offered === undefined ? {} : { session: this.#offered }),
    });
  }

  #serverEngine(request: ServerRequest, caller: Caller): Handshake {
    const { policy, tickets } = this.#services;
    const clientAuth = allowedClientAuth(request.clientAuth, policy.clientAuth);
    return createServerHandshake({
      role: 'server',
      ...this.#common(),
      credentials: this.#credentials(),
      unknownServerName: policy.unknownServerName,
      clientAuth,
      // A client that is known by its key has no issuer to be named.
      certificateAuthorities:
        clientAuth === 'none' || request.pinnedPublicKeys.length > 0 ? [] : this.#authorityNames(),
      requireApplicationProtocol:
        policy.requireApplicationProtocol || request.requireApplicationProtocol,
      ...(tickets === undefined || !this.#resumable ? {} : { tickets }),
      sessionContext: this.#sessionContext(caller, clientAuth),
    });
  }

  #common(): HandshakeConfig {
    const { policy, p384, now } = this.#services;
    return {
      random: randomBytes,
      generateKeyShare: (group) => {
        if (group === NamedGroup.secp384r1) p384.spend();
        return generateKeyShare(group);
      },
      now,
      cipherSuites: suitesFor(this.#request, policy.cipherSuites),
      namedGroups: groupsFor(policy.namedGroups, p384),
      signatureSchemes,
      applicationProtocols: this.#request.applicationProtocols,
      requireExtendedMasterSecret: policy.requireExtendedMasterSecret,
      exporters: this.#request.exporters,
    };
  }

  #credentials(): readonly Credential[] {
    return this.#identities.map(({ credential }) => credential);
  }

  /** RFC 5246 §7.4.4. Left out when long: the list is a hint, and the flight should stay small. */
  #authorityNames(): readonly Uint8Array[] {
    const trusts = new Set(this.#identities.map(({ trust }) => trust));
    const names = [...trusts].flatMap(({ anchors }) =>
      anchors.certificates.map(({ subject }) => subject),
    );
    const length = names.reduce((sum, name) => sum + name.length + 2, 0);
    return length > maxAuthorityNamesBytes ? [] : names;
  }

  /** Whatever changes here makes tickets sealed before it lead to full handshakes. */
  #sessionContext(caller: Caller, clientAuth: ClientAuthMode): Uint8Array {
    const parts = [
      caller.id,
      clientAuth,
      this.#services.policy.requireExtendedMasterSecret,
      this.#identities.map(({ name, trust }) => [name, trust.generation]),
    ];
    return hash('sha256', Buffer.from(JSON.stringify(parts)));
  }

  /** A server judges its peer by what the identity believes that it shows to it. */
  #trustOf({ credential }: VerifyChainAction): PeerTrust {
    const identity = this.#identities.find((one) => one.credential === credential);
    const trust = this.#trust ?? identity?.trust;
    if (trust === undefined) throw new TypeError('chain to be verified for a foreign credential');
    return trust;
  }

  /** By the identity that is shown, or, for a client, would be. */
  #rulesOf({ credential }: { readonly credential?: Credential | undefined }): PeerRules {
    const [first] = this.#identities;
    const identity = this.#identities.find((one) => one.credential === credential) ?? first;
    return { now: this.#services.now(), peers: identity?.bootstrap?.peers ?? [] };
  }

  /**
   * Neither a peer known by its key alone nor a host that has not enrolled resumes: a session says less
   * about both sides than the handshake that made it, and these happen once in the life of a host.
   */
  #mayResume(): boolean {
    const { policy } = this.#services;
    const isBootstrap = this.#identities.some(({ bootstrap }) => bootstrap !== undefined);
    return policy.sessionTickets && this.#request.pinnedPublicKeys.length === 0 && !isBootstrap;
  }

  /** A host may have enrolled, or been revoked, while this went on. */
  #requireUsable({ credential }: HandshakeResult): void {
    const [first] = this.#identities;
    const identity = this.#identities.find((one) => one.credential === credential) ?? first;
    const refusal = identity && this.#services.identities.refusalOf(identity.name);
    if (refusal !== undefined) throw refusal;
  }

  #sign(action: SignAction): Uint8Array | Promise<Uint8Array> {
    const identity = this.#identities.find(({ credential }) => credential === action.credential);
    if (identity === undefined)
      throw new TypeError('signature asked for with a foreign credential');
    this.#signing = identity;
    return this.#services.signer.sign(identity.privateKey, action.scheme, action.content);
  }

  /** A session is offered only if its peer would be accepted now as in a full handshake. */
  #takeSession(trust: PeerTrust): ClientSession | undefined {
    const { sessions, now } = this.#services;
    if (!this.#resumable) return undefined;
    const session = sessions.take(this.#sessionKey, now());
    if (session === undefined) return undefined;
    // Without a staple, so a server that has to staple shakes hands in full each time.
    const { peer } = judgePeer(
      { certificates: session.peerCertificates },
      this.#request,
      trust,
      this.#rulesOf(session),
    );
    const sameCredential =
      session.credential === undefined ||
      this.#identities.some(({ credential }) => credential === session.credential);
    if (peer === undefined || !sameCredential) {
      wipeSession(session);
      return undefined;
    }
    this.#peer = peer;
    this.#peerTrust = trust;
    return session;
  }

  #keepSession(result: HandshakeResult): void {
    const { sessions } = this.#services;
    if (this.#request.role !== 'client' || !this.#resumable) return;
    if (this.#trust?.generation !== this.#trustGeneration) return;
    const session = result.session ?? (result.resumed ? this.#session : undefined);
    if (session !== undefined) sessions.store(this.#sessionKey, session);
  }
}

function wipeResult({ read, write, keyingMaterial, session }: HandshakeResult): void {
  wipe(read.key, read.fixedNonce, write.key, write.fixedNonce, ...keyingMaterial);
  if (session !== undefined) wipeSession(session);
}

/** The name under which an identity is known to peers. */
export function provableName(identity: LocalIdentity): ProvableName | undefined {
  if (identity.spiffeId !== undefined) return { kind: 'spiffe', id: identity.spiffeId };
  const [name] = identity.leaf.subjectAltNames.dnsNames;
  return name === undefined ? undefined : { kind: 'dns', name: name.toLowerCase() };
}

function anonymousTrust(caller: Caller, identities: IdentityStore): PeerTrust {
  const trust = identities.trustOfAnonymous(allowedNames(caller, identities));
  if (trust !== undefined) return trust;
  throw new ServiceError(
    'FAILED_PRECONDITION',
    'identity_not_enrolled',
    'no identity has enrolled yet, so there is nobody to trust',
  );
}

/** Peers nobody vouches for are the decision of whoever wrote the configuration. */
function requirePermission({ pinnedPublicKeys }: HandshakeRequest, caller: Caller): void {
  if (pinnedPublicKeys.length === 0 || caller.permissions.pinnedPeers) return;
  throw new ServiceError(
    'FAILED_PRECONDITION',
    'pinned_peers_not_allowed',
    'no rule allows the caller to pin public keys of peers: set pinnedPeers in its allow rule',
  );
}

/** A caller can be stricter than the policy, never laxer. */
function allowedClientAuth(
  asked: ClientAuthMode | undefined,
  policy: ClientAuthMode,
): ClientAuthMode {
  if (asked === undefined) return policy;
  if (strictness[asked] >= strictness[policy]) return asked;
  throw new ServiceError(
    'FAILED_PRECONDITION',
    'client_auth_too_lax',
    `the caller asks for client_auth ${asked}, the sidecar allows nothing laxer than ${policy}`,
  );
}

const strictness = { none: 0, request: 1, require: 2 } as const;

/** Clients rank AEADs as the caller did; servers as the policy does. */
function suitesFor(
  request: HandshakeRequest,
  allowed: readonly CipherSuite[],
): readonly CipherSuite[] {
  const { aeads } = request;
  if (aeads === undefined) return allowed;
  const suites =
    request.role === 'client'
      ? aeads.flatMap((aead) => allowed.filter((suite) => suite.aead === aead))
      : allowed.filter(({ aead }) => aeads.includes(aead));
  if (suites.length > 0) return suites;
  throw new ServiceError(
    'FAILED_PRECONDITION',
    'no_cipher_suite',
    'none of the cipher suites asked for is enabled in the sidecar',
  );
}

/** P-384 blocks the process for some milliseconds: beyond its budget peers have to take another. */
function groupsFor(groups: readonly NamedGroup[], p384: RateBudget): readonly NamedGroup[] {
  if (p384.available) return groups;
  const others = groups.filter((group) => group !== NamedGroup.secp384r1);
  return others.length > 0 ? others : groups;
}

function clientSessionKey(
  request: ClientRequest,
  caller: Caller,
  identity: LocalIdentity | undefined,
  trust: PeerTrust,
  { policy }: HandshakeServices,
): string {
  return JSON.stringify([
    caller.id,
    identity?.version,
    request.target,
    request.targetIdentities,
    request.applicationProtocols,
    suitesFor(request, policy.cipherSuites).map(({ code }) => code),
    identity?.name,
    trust.generation,
  ]);
}

const maxAuthorityNamesBytes = 8192;
