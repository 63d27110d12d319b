import type { Socket } from 'node:net';
import { signSync } from '../../crypto/signatures.ts';
import { Admission } from '../../offload/admission.ts';
import { OffloadError, OffloadErrorCode } from '../../offload/errors.ts';
import { LivePeers } from '../../offload/live-peers.ts';
import { OffloadSocket } from '../../offload/offload-socket.ts';
import { CertificateError } from '../../pki/index.ts';
import { type KeyWithChain, offeredVersion, VersionAttempts } from '../../sidecar/index.ts';
import { type ChainVerdict, createServerHandshake } from '../../tls/index.ts';
import { EngineHandshaker, type EngineRun } from './engine-handshaker.ts';
import { engineSettings, highWaterMark } from './engine-settings.ts';
import type { JudgedPeer } from './judged-peer.ts';
import { secured } from './secured.ts';
import { SourceLimits } from './source-limits.ts';

export interface TlsAcceptorOptions<Peer> {
  /** What to show, asked for each handshake. Throws if there is nothing now. */
  readonly credential: () => KeyWithChain;
  /** Asked for each handshake, too. */
  readonly clientAuth: () => 'request' | 'require';
  /** DER names of the CAs whose certificates are wanted. */
  readonly certificateAuthorities: () => readonly Uint8Array[];
  /** Judges a client's chain. Throws `CertificateError`. */
  readonly judge: (certificates: readonly Uint8Array[]) => JudgedPeer<Peer>;
  readonly limits: {
    readonly connections: number;
    readonly connectionsPerSource: number;
    readonly handshakes: number;
    readonly handshakesPerSecondPerSource: number;
    readonly handshakeTimeoutMs: number;
  };
  readonly now: () => Date;
}

/** A connection whose handshake succeeded. */
export interface AcceptedTls<Peer> {
  readonly stream: OffloadSocket;
  /** Absent: it showed no certificate. */
  readonly peer: Peer | undefined;
  /** Address it came from. */
  readonly source: string;
  /** Ends it at once, for what came over it: its source may not come again as often. */
  cut(): void;
}

/**
 * Server side of TLS in a process that has the keys itself. Bounded in connections, in handshakes at
 * once, and in what one source may take of either; without session tickets, as its clients stay.
 */
export class TlsAcceptor<Peer> {
  /** Established connections, to end those of peers that are revoked. */
  readonly livePeers = new LivePeers();
  /** Peers that came with an old version only. */
  readonly attempts = new VersionAttempts();
  readonly #options: TlsAcceptorOptions<Peer>;
  readonly #sources: SourceLimits;
  readonly #admission: Admission;
  readonly #open = new Set<OffloadSocket>();

  constructor(options: TlsAcceptorOptions<Peer>) {
    this.#options = options;
    const { limits, now } = options;
    this.#sources = new SourceLimits({ ...limits, now });
    this.#admission = new Admission(limits.handshakes, limits.handshakes * queuePerHandshake);
  }

  /** Connections, established or not. */
  get connections(): number {
    return this.#open.size;
  }

  get handshakes(): number {
    return this.#admission.running;
  }

  /** Runs the handshake on a connection. Rejects with what went wrong; the connection is closed then. */
  async accept(raw: Socket): Promise<AcceptedTls<Peer>> {
    const source = raw.remoteAddress ?? '';
    const release = this.#letIn(raw, source);
    const run = new ServerRun(this.#options);
    const socket = new OffloadSocket({
      raw,
      handshaker: new EngineHandshaker({
        livePeers: this.livePeers,
        begin: () => run.begin(),
        admit: async (signal) => {
          await this.#admission.acquire(signal);
          return () => {
            this.#admission.release();
          };
        },
        onFailure: (_failure, firstBytes) => {
          const offered = offeredVersion(firstBytes);
          if (offered !== undefined) this.attempts.add(source, offered);
        },
      }),
      start: {
        role: 'server',
        applicationProtocols: ['h2'],
        identities: [],
        clientAuth: this.#options.clientAuth(),
        keyingMaterial: [],
      },
      handshakeTimeoutMs: this.#options.limits.handshakeTimeoutMs,
      connectTimeoutMs: 0,
      recordCipher: undefined,
      allowHalfOpen: false,
      highWaterMark,
    });
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      release();
    });
    await secured(socket);
    const cut = (): void => {
      this.#sources.charge(source);
      socket.destroy();
    };
    return { stream: socket, peer: run.peer, source, cut };
  }

  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #letIn(raw: Socket, source: string): () => void {
    const { connections } = this.#options.limits;
    const admitted =
      this.#open.size >= connections
        ? { refusal: 'too many connections' }
        : this.#sources.admit(source);
    if ('release' in admitted) return admitted.release;
    raw.destroy();
    throw new OffloadError(OffloadErrorCode.overloaded, admitted.refusal, { phase: 'connect' });
  }
}

/** One handshake, and whom it turned out to be with. */
class ServerRun<Peer> {
  peer: Peer | undefined;
  readonly #options: TlsAcceptorOptions<Peer>;
  #identity: string | undefined;

  constructor(options: TlsAcceptorOptions<Peer>) {
    this.#options = options;
  }

  begin(): EngineRun {
    const { credential, clientAuth, certificateAuthorities, now } = this.#options;
    const own = credential();
    const engine = createServerHandshake({
      role: 'server',
      ...engineSettings(now),
      credentials: [own.credential],
      unknownServerName: 'default',
      clientAuth: clientAuth(),
      certificateAuthorities: certificateAuthorities(),
      requireApplicationProtocol: true,
      sessionContext: new Uint8Array(),
    });
    return {
      engine,
      operations: {
        sign: ({ scheme, content }) => signSync(own.privateKey, scheme, content),
        verify: ({ certificates }) => this.#verify(certificates),
      },
      peerIdentity: () => this.#identity,
    };
  }

  #verify(certificates: readonly Uint8Array[]): ChainVerdict {
    try {
      const { leaf, peer, identity } = this.#options.judge(certificates);
      const { publicKey, keyKind } = leaf;
      if (keyKind === undefined) {
        const message = 'the client has a kind of key that is not used here';
        return { ok: false, alert: 'unsupported_certificate', reason: 'unsupported_key', message };
      }
      this.peer = peer;
      this.#identity = identity;
      return { ok: true, publicKey, keyKind };
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const { alert, reason, message } = error;
      return { ok: false, alert, reason, message };
    }
  }
}

/** Waiting costs a client's patience and a little memory. */
const queuePerHandshake = 16;
