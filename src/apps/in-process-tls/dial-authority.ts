import { connect, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { sign } from '../../crypto/signatures.ts';
import type { AuthorityExpectation, DialAuthority } from '../../identity/dial.ts';
import { asError, OffloadError, OffloadErrorCode } from '../../offload/errors.ts';
import { LivePeers } from '../../offload/live-peers.ts';
import { OffloadSocket } from '../../offload/offload-socket.ts';
import {
  type Certificate,
  CertificateError,
  createTrustAnchors,
  parseCertificate,
  parseSpiffeId,
  spiffeIdOf,
  type TrustAnchors,
  type VerifiedChain,
  verifyChain,
} from '../../pki/index.ts';
import { joinKeyAndChain, type KeyWithChain } from '../../sidecar/index.ts';
import { type ChainVerdict, createClientHandshake } from '../../tls/index.ts';
import { EngineHandshaker, type EngineRun } from './engine-handshaker.ts';
import { engineSettings, highWaterMark } from './engine-settings.ts';
import { secured } from './secured.ts';

export interface DialOptions {
  readonly now: () => Date;
  readonly connectTimeoutMs?: number;
  readonly handshakeTimeoutMs?: number;
}

/** Opens connections to an authority, with the engine and keys of this process. */
export function createAuthorityDialler(options: DialOptions): DialAuthority {
  return async (addresses, credential, expectation, signal) => {
    const problems: string[] = [];
    const errors: Error[] = [];
    const own = joinKeyAndChain(
      'host',
      credential.chain.map((der) => parseCertificate(der)),
      credential.privateKey,
    );
    const peers = new AuthorityPeers(expectation, options.now);
    for (const address of addresses) {
      signal.throwIfAborted();
      try {
        return await dialOne(address, own, peers, options, signal);
      } catch (cause) {
        signal.throwIfAborted();
        errors.push(asError(cause));
        problems.push(`${address}: ${asError(cause).message}`);
      }
    }
    const what = problems.length === 0 ? 'no address is known' : problems.join('; ');
    throw new OffloadError(OffloadErrorCode.unavailable, `cannot reach the authority: ${what}`, {
      phase: 'connect',
      reason: errors.flatMap((error) => reasonOf(error) ?? [])[0] ?? 'authority_unreachable',
      cause: errors.at(-1),
    });
  };
}

async function dialOne(
  address: string,
  own: KeyWithChain,
  peers: AuthorityPeers,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Duplex> {
  const { host, port } = splitAddress(address);
  const raw: Socket = connect({ host, port, noDelay: true, allowHalfOpen: true, keepAlive: true });
  const serverName = isIP(host) === 0 ? host.toLowerCase() : undefined;
  const socket = new OffloadSocket({
    raw,
    handshaker: new EngineHandshaker({
      livePeers: new LivePeers(),
      begin: () => begin(own, peers, serverName, options.now),
    }),
    start: {
      role: 'client',
      applicationProtocols: ['h2'],
      targetName: host,
      targetIdentities: [],
      identity: undefined,
      anonymous: false,
      keyingMaterial: [],
    },
    servername: serverName,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    recordCipher: undefined,
    allowHalfOpen: false,
    highWaterMark,
  });
  const abort = (): void => {
    socket.destroy(asError(signal.reason));
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    await secured(socket);
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return socket;
}

function begin(
  own: KeyWithChain,
  peers: AuthorityPeers,
  serverName: string | undefined,
  now: () => Date,
): EngineRun {
  let identity: string | undefined;
  return {
    engine: createClientHandshake({
      role: 'client',
      ...engineSettings(now),
      ...(serverName === undefined ? {} : { serverName }),
      credentials: [own.credential],
      requireCredential: true,
      requireRenegotiationInfo: true,
      sessionTickets: false,
    }),
    operations: {
      sign: ({ scheme, content }) => sign(own.privateKey, scheme, content),
      verify: ({ certificates }) => {
        const verdict = peers.judge(certificates);
        identity = verdict.identity;
        return verdict.verdict;
      },
    },
    peerIdentity: () => identity,
  };
}

/** Judges whether a server is an authority of the trust domain. */
class AuthorityPeers {
  readonly #expectation: AuthorityExpectation;
  readonly #anchors: TrustAnchors;
  readonly #now: () => Date;

  constructor(expectation: AuthorityExpectation, now: () => Date) {
    this.#expectation = expectation;
    this.#anchors = createTrustAnchors(expectation.roots.map((der) => parseCertificate(der)));
    this.#now = now;
  }

  judge(certificates: readonly Uint8Array[]): {
    readonly verdict: ChainVerdict;
    readonly identity?: string;
  } {
    try {
      const { leaf } = this.#verified(certificates);
      const identity = this.#requireAuthority(leaf);
      if (leaf.keyKind === undefined) {
        throw new CertificateError('unsupported_certificate', 'unsupported_key', 'unknown key');
      }
      return { verdict: { ok: true, publicKey: leaf.publicKey, keyKind: leaf.keyKind }, identity };
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const { alert, reason, message } = error;
      return { verdict: { ok: false, alert, reason, message } };
    }
  }

  /** The authority's chain may end in a root that is newer than ours. */
  #verified(certificates: readonly Uint8Array[]): VerifiedChain {
    const common = { anchors: this.#anchors, now: this.#now(), purpose: 'server' } as const;
    const { intermediates } = this.#expectation;
    try {
      return verifyChain({ ...common, certificates });
    } catch (error) {
      const isIncomplete = error instanceof CertificateError && error.reason === 'unknown_issuer';
      if (!isIncomplete || intermediates.length === 0) throw error;
      return verifyChain({ ...common, certificates: [...certificates, ...intermediates] });
    }
  }

  #requireAuthority(leaf: Certificate): string {
    const text = spiffeIdOf(leaf);
    const id = text === undefined ? undefined : parseSpiffeId(text);
    const { trustDomain } = this.#expectation;
    if (id?.trustDomain === trustDomain && id.path.startsWith('/authority/')) return id.text;
    throw new CertificateError(
      'certificate_unknown',
      'peer_identity_mismatch',
      `the server is not an authority of ${trustDomain}`,
    );
  }
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/u.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new RangeError(`expected HOST:PORT, got "${address.slice(0, 64)}"`);
  }
  return { host, port };
}

function reasonOf(error: Error): string | undefined {
  return error instanceof OffloadError ? error.reason : undefined;
}
