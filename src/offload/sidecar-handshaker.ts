import { setTimeout as delay } from 'node:timers/promises';
import { concat, wipe } from '../bytes/bytes.ts';
import type { TokenSource } from './access-token.ts';
import { Admission } from './admission.ts';
import { asError, codeOf, OffloadError, OffloadErrorCode } from './errors.ts';
import { type GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';
import { failureToError, statusToError } from './handshake-failure.ts';
import { type HandshakeStream, StreamEndedError } from './handshake-stream.ts';
import type { Established, Handshaker, PeerLink } from './handshaker.ts';
import type { LivePeers } from './live-peers.ts';
import { checkSession, type Session, type UncheckedSession } from './session.ts';
import type { SidecarResponse, StartParameters } from './sidecar-messages.ts';
import { StreamPool } from './stream-pool.ts';

export interface HandshakerLimits {
  /** Handshakes at once, for each role. */
  readonly handshakes: number;
  /** Handshakes waiting for their turn, for each role. */
  readonly queue: number;
  /** How long to try to reach a sidecar that is away, within the handshake's own deadline. */
  readonly sidecarMs: number;
}

/** Runs handshakes by relaying the peer's bytes to the sidecar and back. */
export class SidecarHandshaker implements Handshaker {
  readonly livePeers: LivePeers;
  readonly #channel: GrpcChannel;
  readonly #streams: StreamPool;
  readonly #token: TokenSource;
  readonly #limits: HandshakerLimits;
  readonly #admission: Readonly<Record<StartParameters['role'], Admission>>;

  constructor(
    channel: GrpcChannel,
    token: TokenSource,
    limits: HandshakerLimits,
    livePeers: LivePeers,
  ) {
    this.livePeers = livePeers;
    this.#channel = channel;
    this.#streams = new StreamPool(channel);
    this.#token = token;
    this.#limits = limits;
    this.#admission = {
      client: new Admission(limits.handshakes, limits.queue),
      server: new Admission(limits.handshakes, limits.queue),
    };
  }

  /** Handshakes that hold a place now, and that wait for one. */
  get load(): Readonly<Record<StartParameters['role'], { running: number; queued: number }>> {
    const { client, server } = this.#admission;
    return {
      client: { running: client.running, queued: client.queued },
      server: { running: server.running, queued: server.queued },
    };
  }

  /**
   * One handshake. Rejects with the reason of `signal` when that is aborted, and otherwise with what
   * went wrong, the peer having been sent the alert the sidecar made. Nothing is held afterwards.
   */
  async perform(start: StartParameters, peer: PeerLink, signal: AbortSignal): Promise<Established> {
    const giveUp = (): void => {
      peer.inbox.end(asError(signal.reason));
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      signal.throwIfAborted();
      // A peer that never speaks must not hold a place.
      if (start.role === 'server') await peer.inbox.ready();
      signal.throwIfAborted();
      const admission = this.#admission[start.role];
      await admission.acquire(signal);
      this.#channel.hold();
      try {
        return await this.#untilSidecarAnswers(start, peer, signal);
      } finally {
        this.#channel.release();
        admission.release();
      }
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  close(): void {
    this.#streams.close();
  }

  /**
   * Tries again as long as nothing has been sent to the peer: a sidecar that restarts, or an old
   * token, costs time but not the connection.
   */
  async #untilSidecarAnswers(
    start: StartParameters,
    peer: PeerLink,
    signal: AbortSignal,
  ): Promise<Established> {
    const giveUpAt = performance.now() + this.#limits.sidecarMs;
    let firstBytes: Uint8Array | undefined;
    let tokenRenewed = false;
    for (let attempt = 0; ; attempt += 1) {
      signal.throwIfAborted();
      const token = await this.#token.current();
      firstBytes ??= start.role === 'server' ? await peer.inbox.read() : noBytes;
      const exchange = new Exchange(start, peer, firstBytes, token);
      try {
        return await exchange.run(this.#streams, signal);
      } catch (error) {
        if (exchange.answered) throw error;
        const problem = sidecarProblem(error);
        if (problem.code === OffloadErrorCode.unauthenticated && !tokenRenewed) {
          tokenRenewed = true;
          if (await this.#token.renew(token)) continue;
        }
        const pauseMs = exchange.onKeptStream ? 0 : backoff(attempt);
        if (!isTransient(error) || performance.now() + pauseMs > giveUpAt) throw problem;
        await pause(pauseMs, signal);
      }
    }
  }
}

/** One attempt at one handshake on one stream. */
class Exchange {
  /** The sidecar has taken the handshake up: it cannot be begun anew. */
  answered = false;
  /** The stream had carried other handshakes, so its end may have been due. */
  onKeptStream = false;
  readonly #start: StartParameters;
  readonly #peer: PeerLink;
  readonly #firstBytes: Uint8Array;
  readonly #token: string | undefined;
  #handshakeId: string | undefined;

  constructor(
    start: StartParameters,
    peer: PeerLink,
    firstBytes: Uint8Array,
    token: string | undefined,
  ) {
    this.#start = start;
    this.#peer = peer;
    this.#firstBytes = firstBytes;
    this.#token = token;
  }

  async run(streams: StreamPool, signal: AbortSignal): Promise<Established> {
    const stream = await abortable(streams.take(), signal, (late) => {
      late.cancel();
    });
    this.onKeptStream = stream.handshakes > 0;
    const abort = (): void => {
      stream.fail(asError(signal.reason));
    };
    signal.addEventListener('abort', abort, { once: true });
    let succeeded = false;
    try {
      const established = await this.#relay(stream, streams.keepsStreams);
      succeeded = true;
      return established;
    } catch (error) {
      signal.throwIfAborted();
      throw this.answered ? sidecarProblem(error, this.#handshakeId) : error;
    } finally {
      signal.removeEventListener('abort', abort);
      if (succeeded) streams.giveBack(stream);
      else stream.cancel();
    }
  }

  async #relay(stream: HandshakeStream, keepStream: boolean): Promise<Established> {
    const { inbox } = this.#peer;
    let bytes = this.#firstBytes;
    let response = await stream.request({
      type: 'start',
      start: this.#start,
      bytes,
      token: this.#token,
      keepStream,
    });
    for (;;) {
      this.#handshakeId = response.handshakeId ?? this.#handshakeId;
      const unconsumed = this.#take(response, bytes);
      if (response.session !== undefined) {
        const session = this.#checked(response.session);
        return { session, leftover: concat(unconsumed, inbox.drain()) };
      }
      const received = await this.#fromPeer(stream);
      bytes = unconsumed.length === 0 ? received : concat(unconsumed, received);
      response = await stream.request({ type: 'next', bytes });
    }
  }

  /** The peer's next bytes. The sidecar waits for them, too, and may lose patience first. */
  async #fromPeer(stream: HandshakeStream): Promise<Uint8Array> {
    stream.watchEnd((status) => {
      this.#peer.inbox.end(new StreamEndedError(status));
    });
    try {
      return await this.#peer.inbox.read();
    } finally {
      stream.onIdleEnd = undefined;
    }
  }

  #checked(unchecked: UncheckedSession): Session {
    try {
      const expectation = { clientAuth: undefined, ...this.#start };
      return checkSession(unchecked, expectation, this.#handshakeId);
    } catch (error) {
      const { read, write, keyingMaterial } = unchecked.session;
      wipe(read.key, read.fixedNonce, write.key, write.fixedNonce, ...keyingMaterial);
      throw error;
    }
  }

  /** Passes on what is for the peer, then judges; returns what of `bytes` was not consumed. */
  #take(response: SidecarResponse, bytes: Uint8Array): Uint8Array {
    const { failure, outFrames } = response;
    if (outFrames.length > 0) this.#peer.write(outFrames);
    if (failure !== undefined) {
      // Refused before any byte went to the peer: may be asked again, with another token.
      this.answered ||= outFrames.length > 0;
      throw failureToError(failure, this.#handshakeId);
    }
    this.answered = true;
    if (response.bytesConsumed > bytes.length) {
      throw new OffloadError(
        OffloadErrorCode.protocol,
        `sidecar's response: ${String(response.bytesConsumed)} of ${String(bytes.length)} bytes consumed`,
        { phase: 'handshake', handshakeId: this.#handshakeId },
      );
    }
    return bytes.subarray(response.bytesConsumed);
  }
}

/** What the application is told when the sidecar was not reached, or ended a call. */
export function sidecarProblem(
  error: unknown,
  handshakeId?: string,
): Error & { readonly code?: string } {
  const status = error instanceof StreamEndedError ? error.status : error;
  if (status instanceof GrpcStatusError) return statusToError(status, handshakeId);
  const code = codeOf(error);
  if (error instanceof OffloadError || code === undefined) return asError(error);
  return new OffloadError(
    code === 'EACCES' || code === 'EPERM' ? OffloadErrorCode.denied : OffloadErrorCode.unavailable,
    `cannot reach the sidecar: ${asError(error).message}`,
    { phase: 'sidecar', handshakeId, cause: error },
  );
}

/** Whether another attempt may do better: the sidecar is away, starting, or ended a stream. */
function isTransient(error: unknown): boolean {
  if (error instanceof StreamEndedError) {
    return error.status.code === GrpcStatus.ok || error.status.code === GrpcStatus.unavailable;
  }
  const code = codeOf(error) ?? '';
  return code === OffloadErrorCode.unavailable || transientSocketErrors.has(code);
}

/** Doubles from 20 ms to 1 s, with jitter, so that many waiting applications do not come at once. */
function backoff(attempt: number): number {
  return Math.min(1000, 20 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

/** `promise`, or the reason of `signal` if that comes first; `late` disposes of a late result. */
function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => void,
): Promise<T> {
  if (signal.aborted) return Promise.reject(asError(signal.reason));
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      // A failure after nobody waits any more is of no interest.
      promise.then(late, () => undefined);
      reject(asError(signal.reason));
    };
    signal.addEventListener('abort', abort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener('abort', abort);
        if (!signal.aborted) resolve(value);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', abort);
        reject(asError(error));
      },
    );
  });
}

const transientSocketErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'EAGAIN',
  'ETIMEDOUT',
  'ERR_HTTP2_INVALID_SESSION',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_OUT_OF_STREAMS',
]);

const noBytes = new Uint8Array();
