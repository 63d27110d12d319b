import { concat, copyOf, wipe } from '../../bytes/bytes.ts';
import { asError, OffloadError, OffloadErrorCode } from '../../offload/errors.ts';
import type { Established, Handshaker, PeerLink } from '../../offload/handshaker.ts';
import type { LivePeers } from '../../offload/live-peers.ts';
import type { Session, TrafficKeys } from '../../offload/session.ts';
import { EngineDriver, type EngineOperations, type Progress } from '../../sidecar/index.ts';
import type { Handshake, HandshakeFailure, HandshakeResult } from '../../tls/index.ts';

/** What one handshake is run with. */
export interface EngineRun {
  readonly engine: Handshake;
  readonly operations: Pick<EngineOperations, 'sign' | 'verify'>;
  /** What the peer proved, once it has. */
  readonly peerIdentity: () => string | undefined;
}

export interface EngineHandshakerOptions {
  readonly livePeers: LivePeers;
  /** Called when the handshake may begin. Throws if there is nothing to begin it with. */
  readonly begin: () => EngineRun;
  /** Waits for a place among the handshakes in progress; answers how to give it back. */
  readonly admit?: (signal: AbortSignal) => Promise<() => void>;
  /** A handshake failed, and how. */
  readonly onFailure?: (failure: HandshakeFailure, firstBytes: Uint8Array) => void;
}

/** Runs one handshake in this process, which has an engine and keys of its own. */
export class EngineHandshaker implements Handshaker {
  readonly livePeers: LivePeers;
  readonly #options: EngineHandshakerOptions;

  constructor(options: EngineHandshakerOptions) {
    this.livePeers = options.livePeers;
    this.#options = options;
  }

  async perform(
    { role }: { readonly role: 'client' | 'server' },
    peer: PeerLink,
    signal: AbortSignal,
  ): Promise<Established> {
    const giveUp = (): void => {
      peer.inbox.end(asError(signal.reason));
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      signal.throwIfAborted();
      // A peer that never speaks must not hold a place.
      if (role === 'server') await peer.inbox.ready();
      signal.throwIfAborted();
      const release = await this.#options.admit?.(signal);
      try {
        return await this.#run(peer);
      } finally {
        release?.();
      }
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #run(peer: PeerLink): Promise<Established> {
    const run = this.#options.begin();
    const steps = new EngineSteps(run);
    let firstBytes: Uint8Array = noBytes;
    try {
      let received: Uint8Array = noBytes;
      let progress = await steps.start();
      for (;;) {
        if (progress.out.length > 0) peer.write(progress.out);
        if (progress.tag === 'established') {
          const { result, trailingBytes } = progress;
          const trailing = received.subarray(received.length - trailingBytes);
          const leftover = concat(trailing, peer.inbox.drain());
          return { session: sessionOf(result, run.peerIdentity()), leftover };
        }
        if (progress.tag === 'failed') {
          this.#options.onFailure?.(progress.failure, firstBytes);
          throw errorOf(progress.failure);
        }
        received = await peer.inbox.read();
        if (firstBytes.length === 0) firstBytes = received;
        progress = await steps.receive(received);
      }
    } finally {
      steps.wipe();
    }
  }
}

/** The engine's calls back as promises. */
class EngineSteps {
  readonly #driver: EngineDriver;
  #broken: (error: Error) => void = () => undefined;

  constructor({ engine, operations }: EngineRun) {
    this.#driver = new EngineDriver(engine, {
      ...operations,
      broken: (error) => {
        this.#broken(asError(error));
      },
    });
  }

  start(): Promise<Progress> {
    return this.#step((answer) => {
      this.#driver.start(answer);
    });
  }

  receive(bytes: Uint8Array): Promise<Progress> {
    return this.#step((answer) => {
      this.#driver.receive(bytes, answer);
    });
  }

  wipe(): void {
    this.#driver.wipe();
  }

  #step(run: (answer: (progress: Progress) => void) => void): Promise<Progress> {
    return new Promise((resolve, reject) => {
      this.#broken = reject;
      run(resolve);
    });
  }
}

function errorOf({ kind, alert, reason, message }: HandshakeFailure): OffloadError {
  const code = kind === 'peer_closed' ? 'ECONNRESET' : OffloadErrorCode.handshake;
  return new OffloadError(code, message, { phase: 'handshake', alert, reason });
}

/** With copies of the keys: those of the result are wiped with the engine. */
function sessionOf(result: HandshakeResult, peerIdentity: string | undefined): Session {
  if (result.session !== undefined) wipe(result.session.masterSecret);
  const copied = ({ key, fixedNonce, sequenceNumber }: TrafficKeys): TrafficKeys => ({
    key: copyOf(key),
    fixedNonce: copyOf(fixedNonce),
    sequenceNumber,
  });
  return {
    cipherSuite: result.cipherSuite,
    applicationProtocol: result.applicationProtocol,
    resumed: result.resumed,
    extendedMasterSecret: result.extendedMasterSecret,
    read: copied(result.read),
    write: copied(result.write),
    peerIdentity,
    localIdentity: undefined,
    peerCertificates: result.peerCertificates.map(copyOf),
    localCertificates: [],
    namedGroup: result.namedGroup,
    signatureScheme: result.signatureScheme,
    serverName: result.serverName,
    keyingMaterial: [],
    localFinished: copyOf(result.localFinished),
    peerFinished: copyOf(result.peerFinished),
    handshakeId: undefined,
  };
}

const noBytes = new Uint8Array();
