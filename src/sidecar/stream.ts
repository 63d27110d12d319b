import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { isDenial, ServiceError, toStatus } from '../rpc/errors.ts';
import type { HandshakeFailure, HandshakeResult } from '../tls/config.ts';
import type { Admission, Slot, Waiting } from './admission.ts';
import { type Caller, presentedTokens } from './callers.ts';
import type { EngineDriver, Progress } from './engine-driver.ts';
import type { TlsPolicy } from './config.ts';
import type { SessionOutcome } from './handshake.ts';
import type { HandshakeRequest, ProvableName } from './handshake-request.ts';
import type { SidecarMetrics } from './metrics.ts';
import {
  decodeRequest,
  encodeResponse,
  type IncomingMessage,
  type OutgoingMessage,
} from './session-messages.ts';
import {
  draining,
  errorOf,
  internalError,
  outOfOrder,
  reportOf,
  timedOut,
  withHandshake,
} from './stream-errors.ts';
import { type Attempt, logCancelled, logFailure, logRefusal, logSuccess } from './stream-log.ts';
import { type Deadline, StreamTimer } from './stream-timer.ts';
import { offeredVersion, type VersionAttempts } from './version-attempts.ts';

/** A stream of SetUpSession; messages are still bytes. */
export type SessionCall = ServerDuplexStream<Buffer, Buffer>;

/** One handshake, as a stream drives it. */
export interface StreamedHandshake {
  readonly driver: EngineDriver;
  /** What we act as, as far as it is settled. */
  readonly localIdentity: ProvableName | undefined;
  /** Turns the engine's result into the caller's. Throws `ServiceError` if it may not have it. */
  complete(result: HandshakeResult): SessionOutcome;
  /** Overwrites all secrets. */
  wipe(): void;
}

/** What the streams of one sidecar share. */
export interface StreamServices {
  readonly deadlines: Deadlines;
  /** Throws `ServiceError` if the caller asks for what it may not have. */
  readonly newHandshake: (
    request: HandshakeRequest,
    caller: Caller,
    onBroken: (error: unknown) => void,
  ) => StreamedHandshake;
  readonly admission: Readonly<Record<'client' | 'server', Admission>>;
  readonly metrics: SidecarMetrics;
  readonly versionAttempts: VersionAttempts;
  readonly log: Logger;
  readonly newHandshakeId: () => string;
  readonly isDraining: () => boolean;
}

export type Deadlines = Pick<
  TlsPolicy,
  'firstMessageTimeoutMs' | 'handshakeTimeoutMs' | 'idleTimeoutMs'
>;

/** What a stream knows of the connection it came in on. */
export interface StreamConnection {
  /** Who calls, given tokens. Throws `ServiceError`. */
  readonly identify: (tokens: readonly string[]) => Caller;
  /** No further handshakes on this connection. */
  readonly isRetiring: () => boolean;
  /** The stream is closed; whether the caller had ended his side. */
  readonly onClosed: (byCaller: boolean) => void;
}

/**
 * One stream of SetUpSession: runs one handshake, or several one after the other for a caller that
 * asks for it with `keep_stream`.
 *
 *     Idle ──start──► Queued ──slot──► Running ──result──► Ended (or Idle again)
 *
 * Rules that live only here: one response for each request, in order; a request waits until the one
 * before it is answered; a failure that has nothing for the peer ends the RPC with an error instead
 * of a message, because some callers read a status from the first response only and would wait for
 * the peer; every way out gives the slot back and wipes the secrets.
 */
export class SessionStream {
  readonly #call: SessionCall;
  readonly #services: StreamServices;
  readonly #connection: StreamConnection;
  readonly #timer: StreamTimer;
  #state: State = { tag: 'Idle' };
  #completed = 0;
  #closed = false;
  #endedByCaller = false;

  constructor(call: SessionCall, services: StreamServices, connection: StreamConnection) {
    this.#call = call;
    this.#services = services;
    this.#connection = connection;
    this.#timer = new StreamTimer((deadline) => {
      this.#guarded(() => {
        this.#expired(deadline);
      });
    });
    call.on('data', (bytes: Buffer) => {
      this.#receive(bytes);
    });
    call.on('end', () => {
      this.#halfClosed();
    });
    // gRPC says `cancelled` at the end of every stream, however it ended.
    call.once('cancelled', () => {
      this.#gone();
    });
    this.#timer.wait('start', services.deadlines.firstMessageTimeoutMs);
  }

  /**
   * Ends the stream if it is kept for a handshake that may come. One that is new is left alone: its
   * start message may be on the way, and deserves an answer.
   */
  endIfKept(): void {
    if (this.#state.tag === 'Idle' && this.#completed > 0) this.#end();
  }

  #receive(bytes: Buffer): void {
    if (this.#state.tag === 'Ended') return;
    this.#timer.stopWaiting();
    this.#guarded(() => {
      this.#dispatch(decodeRequest(bytes));
    });
    // Whatever is not settled by now is being waited for; further requests wait for it, too.
    if (isPending(this.#state)) this.#call.pause();
  }

  /** What one stream does wrong, or we do wrong on it, must not touch the others. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof ServiceError) {
        this.#refuse(error);
        return;
      }
      this.#broke(error);
    }
  }

  #broke(error: unknown): void {
    this.#services.log.error({ err: error }, 'handshake stream broke');
    this.#refuse(internalError());
  }

  #dispatch(message: IncomingMessage): void {
    const state = this.#state;
    switch (message.tag) {
      case 'start':
        if (state.tag !== 'Idle') throw outOfOrder('the session was started already');
        this.#start(message);
        return;
      case 'next':
        if (state.tag !== 'Running') throw outOfOrder('the session was not started');
        this.#feed(state, message.bytes);
        return;
      case 'ticket':
        if (state.tag !== 'Idle' || this.#completed > 0) {
          throw outOfOrder('a resumption ticket is the only message of its stream');
        }
        this.#connection.identify(presentedTokens(message.tokens));
        // TLS 1.2 tickets arrive within the handshake: there is nothing left to keep.
        this.#send({});
        this.#end();
    }
  }

  #start(message: Extract<IncomingMessage, { tag: 'start' }>): void {
    const { request } = message;
    const attempt: Attempt = {
      id: this.#services.newHandshakeId(),
      startedAt: performance.now(),
      request,
      keepStream: message.keepStream,
      answered: false,
      heardPeer: false,
    };
    this.#state = { tag: 'Starting', attempt };
    if (this.#services.isDraining()) throw draining();
    attempt.caller = this.#connection.identify(presentedTokens(message.tokens));
    const { caller } = attempt;
    this.#timer.limit(this.#services.deadlines.handshakeTimeoutMs);
    const waiting = this.#services.admission[request.role].acquire(
      caller.id,
      (slot) => {
        this.#guarded(() => {
          this.#admitted(attempt, caller, slot);
        });
      },
      (error) => {
        this.#refuse(error);
      },
    );
    if (waiting !== undefined) this.#state = { tag: 'Queued', attempt, waiting };
  }

  #admitted(attempt: Attempt, caller: Caller, slot: Slot): void {
    const { request } = attempt;
    let handshake: StreamedHandshake;
    try {
      handshake = this.#services.newHandshake(request, caller, (error) => {
        this.#broke(error);
      });
    } catch (error) {
      slot.release();
      throw error;
    }
    const running: Running = { tag: 'Running', attempt, slot, handshake, pending: true };
    this.#state = running;
    handshake.driver.start((progress) => {
      if (progress.tag === 'more' && request.role === 'server') {
        this.#feed(running, request.firstBytes);
      } else {
        this.#answer(running, progress, 0);
      }
    });
  }

  #feed(running: Running, bytes: Uint8Array): void {
    running.pending = true;
    if (bytes.length > 0) running.attempt.heardPeer = true;
    running.handshake.driver.receive(bytes, (progress) => {
      this.#answer(running, progress, bytes.length);
    });
  }

  #answer(running: Running, progress: Progress, received: number): void {
    if (this.#state !== running) return;
    this.#guarded(() => {
      this.#settle(running, progress, received);
    });
    if (this.#call.isPaused()) this.#call.resume();
  }

  #settle(running: Running, progress: Progress, received: number): void {
    running.pending = false;
    switch (progress.tag) {
      case 'more':
        this.#respond(running, { outFrames: progress.out, bytesConsumed: received });
        this.#timer.wait('peer', this.#peerTimeoutMs(running.attempt));
        break;
      case 'established':
        this.#established(running, progress, received);
        break;
      case 'failed':
        this.#failed(running, progress, received);
        break;
    }
  }

  #established(
    running: Running,
    { out, result, trailingBytes }: Extract<Progress, { tag: 'established' }>,
    received: number,
  ): void {
    const { attempt, handshake } = running;
    const session = handshake.complete(result);
    this.#respond(running, { outFrames: out, bytesConsumed: received - trailingBytes, session });
    const seconds = (performance.now() - attempt.startedAt) / 1000;
    this.#services.metrics.handshakeTook(attempt.request.role, result.resumed, seconds);
    this.#count(attempt, 'ok', '');
    logSuccess(this.#services.log, attempt, session, seconds);
    this.#release(running);
    this.#completed += 1;
    const again =
      attempt.keepStream &&
      this.#completed < maxHandshakesPerStream &&
      !this.#services.isDraining() &&
      !this.#connection.isRetiring();
    if (!again) {
      this.#end();
      return;
    }
    this.#state = { tag: 'Idle' };
    this.#timer.wait('start', keptStreamIdleMs);
  }

  #failed(
    running: Running,
    { out, failure }: Extract<Progress, { tag: 'failed' }>,
    received: number,
  ): void {
    const { attempt } = running;
    this.#logFailure(attempt, failure);
    this.#noteVersion(attempt);
    const report = reportOf(failure);
    // A status is read from the first response by everybody; later only beside bytes to be sent.
    const message = { outFrames: out, bytesConsumed: received, failure: report };
    if (!attempt.answered || out.length > 0) this.#respond(running, message);
    this.#release(running);
    this.#end(errorOf(report, attempt.id));
  }

  #respond(running: Running, message: OutgoingMessage): void {
    const { attempt, handshake } = running;
    this.#send({ handshakeId: attempt.id, localIdentity: handshake.localIdentity, ...message });
    attempt.answered = true;
  }

  #send(message: OutgoingMessage): void {
    const bytes = encodeResponse(message);
    this.#call.write(bytes, () => {
      // gRPC has copied it by now.
      if (message.session !== undefined) bytes.fill(0);
    });
  }

  /** The caller asked for what it cannot have, or there is no room. */
  #refuse(error: ServiceError): void {
    const state = this.#state;
    if (state.tag === 'Ended') return;
    const attempt = state.tag === 'Idle' ? undefined : state.attempt;
    const { reason, status, message, retryAfterMs } = error;
    if (isDenial(error)) this.#services.metrics.callerDenied(reason);
    if (attempt !== undefined) this.#count(attempt, 'refused', reason);
    logRefusal(this.#services.log, attempt, error);
    if (attempt?.answered !== true) {
      const failure = { status, reason, message, retryAfterMs };
      this.#send({ ...(attempt === undefined ? {} : { handshakeId: attempt.id }), failure });
    }
    this.#leave(state);
    this.#end(attempt === undefined ? error : withHandshake(error, attempt.id));
  }

  #expired(deadline: Deadline): void {
    const state = this.#state;
    switch (state.tag) {
      case 'Ended':
        return;
      case 'Idle':
        this.#end(
          this.#completed > 0 ? undefined : timedOut('no_start_message', 'no start message came'),
        );
        return;
      case 'Starting':
      case 'Queued':
        this.#refuse(timedOut('handshake_timeout', 'the handshake was not done in time'));
        return;
      case 'Running':
        this.#abort(state, deadline);
    }
  }

  #abort(running: Running, deadline: Deadline): void {
    const error =
      deadline === 'handshake'
        ? timedOut('handshake_timeout', 'the handshake was not done in time')
        : timedOut('peer_silent', 'the peer, or the caller for it, sent nothing in time');
    const wasPending = running.pending;
    const progress = running.handshake.driver.abort('user_canceled', error.reason, error.message);
    const { attempt } = running;
    if (progress?.tag === 'failed') this.#logFailure(attempt, progress.failure);
    // Nobody waits for a response unless a request is open: a message would answer the next one.
    if (wasPending && progress !== undefined) {
      const failure = { status: error.status, reason: error.reason, message: error.message };
      this.#respond(running, { outFrames: progress.out, failure });
    }
    this.#release(running);
    this.#end(withHandshake(error, attempt.id));
  }

  /** The caller will send nothing more. */
  #halfClosed(): void {
    this.#endedByCaller = true;
    const state = this.#state;
    switch (state.tag) {
      case 'Ended':
        return;
      case 'Idle':
        this.#end(
          this.#completed > 0 ? undefined : outOfOrder('the stream ended without a start message'),
        );
        return;
      case 'Starting':
      case 'Queued':
      case 'Running':
        this.#cancelled(state);
        this.#end(
          new ServiceError('CANCELLED', 'caller_left', 'the caller ended the stream early'),
        );
    }
  }

  /** The stream is closed, for whatever reason. */
  #gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    const state = this.#state;
    if (state.tag !== 'Ended' && state.tag !== 'Idle') this.#cancelled(state);
    this.#timer.close();
    this.#state = { tag: 'Ended' };
    this.#connection.onClosed(this.#endedByCaller);
  }

  #cancelled(state: Started): void {
    const { attempt } = state;
    const reason = attempt.heardPeer ? 'caller_left' : 'peer_sent_nothing';
    this.#count(attempt, 'cancelled', reason);
    logCancelled(this.#services.log, attempt, reason);
    this.#leave(state);
  }

  #leave(state: State): void {
    if (state.tag === 'Queued') state.waiting.cancel();
    if (state.tag === 'Running') this.#release(state);
  }

  #release({ handshake, slot }: Running): void {
    this.#timer.unlimit();
    handshake.wipe();
    slot.release();
  }

  #end(error?: ServiceError): void {
    this.#state = { tag: 'Ended' };
    this.#timer.close();
    if (error === undefined) this.#call.end();
    else this.#call.emit('error', toStatus(error));
    // What the caller sends now is read and dropped, so that the stream can close.
    if (this.#call.isPaused()) this.#call.resume();
  }

  #logFailure(attempt: Attempt, failure: HandshakeFailure): void {
    this.#count(attempt, 'failed', failure.reason);
    logFailure(this.#services.log, attempt, failure);
  }

  /** Peers are not known by address here: the application they came to stands for them. */
  #noteVersion({ request, caller }: Attempt): void {
    if (request.role !== 'server') return;
    const offered = offeredVersion(request.firstBytes);
    if (offered !== undefined) this.#services.versionAttempts.add(caller?.id ?? '', offered);
  }

  #count(
    attempt: Attempt,
    result: 'ok' | 'failed' | 'refused' | 'cancelled',
    reason: string,
  ): void {
    this.#services.metrics.handshakeEnded(attempt.request.role, result, reason);
  }

  /** A peer may take its time before it says anything at all. */
  #peerTimeoutMs(attempt: Attempt): number {
    const { firstMessageTimeoutMs, idleTimeoutMs } = this.#services.deadlines;
    return attempt.heardPeer ? idleTimeoutMs : firstMessageTimeoutMs;
  }
}

interface Running {
  readonly tag: 'Running';
  readonly attempt: Attempt;
  readonly slot: Slot;
  readonly handshake: StreamedHandshake;
  /** A request is open. */
  pending: boolean;
}

type State =
  | { readonly tag: 'Idle' }
  | { readonly tag: 'Starting'; readonly attempt: Attempt }
  | { readonly tag: 'Queued'; readonly attempt: Attempt; readonly waiting: Waiting }
  | Running
  | { readonly tag: 'Ended' };

type Started = Extract<State, { attempt: Attempt }>;

function isPending(state: State): boolean {
  return state.tag === 'Queued' || (state.tag === 'Running' && state.pending);
}

/** Streams are used again to save their set-up, not to live for ever. */
const maxHandshakesPerStream = 1000;
const keptStreamIdleMs = 300_000;
