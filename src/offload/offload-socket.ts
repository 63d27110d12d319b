import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { wipe } from '../bytes/bytes.ts';
import type { AlertName } from '../tls/alert.ts';
import { asError, OffloadError, OffloadErrorCode } from './errors.ts';
import { disconnected, handshakeTimeout } from './handshake-failure.ts';
import type { Established, Handshaker } from './handshaker.ts';
import { lingerThenDestroy } from './linger.ts';
import { type Callback, Outgoing } from './outgoing.ts';
import { PeerInbox } from './peer-inbox.ts';
import { createRecordLayer, ownMemory, type RecordLayer } from './record-layer.ts';
import type { Incoming } from './record-reader.ts';
import type { StartParameters } from './sidecar-messages.ts';
import { TlsSurface } from './tls-surface.ts';

/** Bytes of the connection below; `lent` ones may be overwritten after the call. */
export type ReceiveBytes = (bytes: Uint8Array, lent: boolean) => void;

export interface OffloadSocketOptions {
  readonly raw: Duplex;
  readonly handshaker: Handshaker;
  /** Read again when the handshake begins: by then a host may be known that was not before. */
  readonly start: StartParameters;
  /** Name for SNI, on clients. */
  readonly servername?: string | undefined;
  readonly handshakeTimeoutMs: number;
  /** How long making the TCP connection may take; 0: as long as the system lets it. */
  readonly connectTimeoutMs: number;
  readonly recordCipher: 'native' | 'node' | undefined;
  readonly allowHalfOpen: boolean;
  readonly highWaterMark: number;
  /**
   * For sockets that read into memory of the caller (`onread`): takes the function that gets their
   * bytes. Absent: the socket reads `data` events.
   */
  readonly attach?: ((receive: ReceiveBytes) => void) | undefined;
  /**
   * For protocols that agree on TLS in the clear: what is said on the TCP connection, which need not
   * be under way yet, before the handshake. Rejects with what the socket is to be destroyed with.
   */
  readonly preface?: ((raw: Socket) => Promise<void>) | undefined;
  /** A last look at the peer by the application; an error refuses it. */
  readonly checkPeer?: ((socket: OffloadSocket) => Error | undefined) | undefined;
}

type State =
  | { readonly tag: 'Connecting'; readonly timer: NodeJS.Timeout | undefined }
  | {
      readonly tag: 'Handshaking';
      readonly inbox: PeerInbox;
      readonly abort: AbortController;
      readonly timer: NodeJS.Timeout;
    }
  | ({ readonly tag: 'Established' } & RecordLayer)
  | { readonly tag: 'Closed' };

/**
 * A TLS 1.2 connection whose handshake the sidecar runs: a Duplex with the members of
 * `tls.TLSSocket` that libraries use. It exists, and takes writes, before the handshake has ended;
 * `secureConnect` (clients) or `secure` (both) tells when it has. An end of the connection without
 * close_notify is an error, as what was received may be cut short (RFC 5246 §7.2.1).
 */
export class OffloadSocket extends TlsSurface {
  readonly #options: OffloadSocketOptions;
  #state: State = { tag: 'Connecting', timer: undefined };
  readonly #outgoing: Outgoing;
  #bytesRead = 0;
  /** The peer is being told why it is being left, and should get to read it. */
  #alertSent = false;
  /** The TCP connection has seen the peer's FIN. */
  #rawHasEnded = false;

  constructor(options: OffloadSocketOptions) {
    super(options.raw, options.start.role, options.start.keyingMaterial, {
      allowHalfOpen: options.allowHalfOpen,
      highWaterMark: options.highWaterMark,
    });
    this.#options = options;
    const { raw } = options;
    this.#outgoing = new Outgoing(raw, {
      onWriteFailed: (error) => {
        this.destroy(error);
      },
      onSealFailed: (error) => {
        this.#fail('close_notify', error);
      },
    });
    // The last words of our side come after the peer's FIN.
    raw.allowHalfOpen = true;
    raw.on('error', (error: Error) => {
      this.#rawFailed(error);
    });
    raw.on('end', () => {
      this.#rawEnded();
    });
    raw.on('close', () => {
      this.#rawEnded();
    });
    raw.on('timeout', () => this.emit('timeout'));
    const { preface } = options;
    if (raw instanceof Socket && (raw.connecting || preface !== undefined)) {
      this.#waitForConnection(raw);
    } else this.#beginHandshake();
    const receive: ReceiveBytes = (bytes, lent) => {
      this.#receive(bytes, lent);
    };
    if (options.attach !== undefined) options.attach(receive);
    else {
      raw.on('data', (bytes: Buffer) => {
        receive(bytes, false);
      });
      // One that a server accepted with `pauseOnConnect`: whoever wraps it wants it read.
      if (raw.isPaused()) raw.resume();
    }
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#outgoing.bytesWritten + this.writableLength;
  }

  /**
   * Small writes of one tick are gathered: records have a fixed cost, and libraries write heads and
   * bodies apart.
   */
  override write(
    chunk: unknown,
    encoding?: BufferEncoding | ((error?: Error | null) => void),
    callback?: (error?: Error | null) => void,
  ): boolean {
    if (this.writableCorked === 0 && isSmall(chunk)) {
      this.cork();
      process.nextTick(uncork, this);
    }
    return typeof encoding === 'function'
      ? super.write(chunk, encoding)
      : super.write(chunk, encoding ?? 'utf8', callback);
  }

  /** What was gathered goes out first: HTTP servers write an answer and destroy in one breath. */
  override destroy(error?: Error): this {
    while (this.writableCorked > 0) this.uncork();
    return super.destroy(error);
  }

  /** Ends the connection because its peer is not to be trusted any more; the peer is told. */
  closeRevoked(reason: string): void {
    if (this.#state.tag !== 'Established') return;
    this.#fail(
      'certificate_revoked',
      new OffloadError(
        OffloadErrorCode.peerRevoked,
        `certificate of ${this.peerIdentity ?? 'the peer'} was revoked${reason === '' ? '' : `: ${reason}`}`,
        { phase: 'data', reason: 'certificate_revoked', handshakeId: this.handshakeId },
      ),
    );
  }

  override _read(): void {
    if (this.#state.tag === 'Established') this.raw.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#outgoing.send([chunk], callback);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], callback: Callback): void {
    this.#outgoing.send(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: Callback): void {
    this.#outgoing.end(callback);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const state = this.#state;
    this.#state = { tag: 'Closed' };
    switch (state.tag) {
      case 'Connecting':
        clearTimeout(state.timer);
        break;
      case 'Handshaking':
        clearTimeout(state.timer);
        state.abort.abort(error ?? disconnected());
        break;
      case 'Established':
        this.#options.handshaker.livePeers.remove(this);
        if (error === null) this.#sayGoodbye(state);
        state.free();
        break;
      case 'Closed':
        break;
    }
    for (const material of this.session?.keyingMaterial ?? []) wipe(material);
    const writeDone = this.#outgoing.stop();
    if (this.#alertSent && !this.raw.destroyed) lingerThenDestroy(this.raw);
    else this.raw.destroy();
    callback(error);
    writeDone?.(error ?? new Error('socket was destroyed'));
  }

  /** The TCP connection is being made, which may take `connectTimeoutMs`. */
  protected limitConnecting(): void {
    const { connectTimeoutMs } = this.#options;
    if (connectTimeoutMs === 0 || this.#state.tag !== 'Connecting') return;
    const timer = setTimeout(() => {
      this.destroy(
        new OffloadError('ETIMEDOUT', `no connection after ${String(connectTimeoutMs)} ms`, {
          phase: 'connect',
        }),
      );
    }, connectTimeoutMs);
    this.#state = { tag: 'Connecting', timer };
  }

  #waitForConnection(raw: Socket): void {
    if (raw.connecting) this.limitConnecting();
    raw.on('lookup', (...result: unknown[]) => this.emit('lookup', ...result));
    raw.once('connect', () => {
      if (this.#state.tag !== 'Connecting') return;
      clearTimeout(this.#state.timer);
      this.emit('connect');
      this.emit('ready');
      this.#afterConnection(raw);
    });
  }

  #afterConnection(raw: Socket): void {
    // A listener may have destroyed us.
    if (this.#state.tag !== 'Connecting') return;
    if (this.#options.preface === undefined) this.#beginHandshake();
    else this.#talkFirst(raw, this.#options.preface);
  }

  #talkFirst(raw: Socket, preface: (raw: Socket) => Promise<void>): void {
    const { handshakeTimeoutMs } = this.#options;
    const timer = setTimeout(() => {
      this.destroy(handshakeTimeout(handshakeTimeoutMs));
    }, handshakeTimeoutMs);
    this.#state = { tag: 'Connecting', timer };
    preface(raw).then(
      () => {
        clearTimeout(timer);
        if (this.#state.tag === 'Connecting') this.#beginHandshake();
      },
      (error: unknown) => {
        this.destroy(asError(error));
      },
    );
  }

  #beginHandshake(): void {
    const { handshaker, handshakeTimeoutMs, start } = this.#options;
    const abort = new AbortController();
    const inbox = new PeerInbox(() => this.raw.resume());
    const timer = setTimeout(() => {
      this.destroy(handshakeTimeout(handshakeTimeoutMs));
    }, handshakeTimeoutMs);
    this.#state = { tag: 'Handshaking', inbox, abort, timer };
    const write = (bytes: Uint8Array): void => {
      this.raw.write(bytes);
    };
    handshaker.perform(start, { inbox, write }, abort.signal).then(
      (established) => {
        this.#establish(established, inbox);
      },
      (error: unknown) => {
        // The sidecar's alert is on its way to the peer.
        this.#alertSent = error instanceof OffloadError && error.alert !== undefined;
        this.destroy(asError(error));
      },
    );
  }

  #establish({ session, leftover }: Established, inbox: PeerInbox): void {
    const { read, write, ...facts } = session;
    const keys = [read.key, read.fixedNonce, write.key, write.fixedNonce];
    const state = this.#state;
    if (state.tag !== 'Handshaking') {
      wipe(...keys);
      return;
    }
    clearTimeout(state.timer);
    const layer = createRecordLayer(session, this.role, this.#options.recordCipher, this.raw);
    // The record ciphers have copies.
    wipe(...keys);
    this.#state = { tag: 'Established', ...layer };
    this.adopt(facts, this.#options.servername);
    this.#options.handshaker.livePeers.add(this);
    const refusal = this.#options.checkPeer?.(this);
    if (refusal !== undefined) {
      this.#fail('access_denied', refusal);
      return;
    }
    this.#announce(leftover, inbox);
  }

  #announce(leftover: Uint8Array, inbox: PeerInbox): void {
    this.emit('secure');
    if (this.role === 'client' && !this.destroyed) this.emit('secureConnect');
    if (this.#state.tag !== 'Established') return;
    this.#outgoing.open(this.#state.writer);
    // What came in since is behind what the sidecar left over.
    for (const bytes of [leftover, inbox.drain()]) {
      if (bytes.length > 0) this.#receive(bytes, false);
    }
    if (this.destroyed) return;
    if (this.#rawHasEnded) this.#rawEnded();
    else this.raw.resume();
  }

  #rawFailed(error: Error): void {
    const state = this.#state;
    // A reset after both sides have said all they had to say changes nothing.
    if (state.tag === 'Established' && state.reader.ended && this.writableFinished) return;
    this.destroy(error);
  }

  #rawEnded(): void {
    this.#rawHasEnded = true;
    const state = this.#state;
    switch (state.tag) {
      case 'Connecting':
        this.destroy(disconnected({ phase: 'connect' }));
        return;
      case 'Handshaking':
        // What came before it may be an alert, or even the rest of the handshake.
        state.inbox.end(disconnected());
        return;
      case 'Established':
        if (!state.reader.ended) this.destroy(this.#truncated());
        return;
      case 'Closed':
        return;
    }
  }

  #truncated(): OffloadError {
    return new OffloadError(
      OffloadErrorCode.truncated,
      'connection ended without close_notify: data may be missing',
      { phase: 'data', handshakeId: this.handshakeId },
    );
  }

  #receive(bytes: Uint8Array, lent: boolean): void {
    const state = this.#state;
    switch (state.tag) {
      case 'Connecting':
      case 'Closed':
        return;
      case 'Handshaking':
        state.inbox.push(bytes);
        if (state.inbox.full) this.raw.pause();
        return;
      case 'Established':
        this.#process(state.reader.receive(bytes), lent ? bytes.buffer : undefined);
    }
  }

  #process({ plaintexts, warning, end }: Incoming, lent: ArrayBufferLike | undefined): void {
    // Our close_notify was our last word (RFC 5246 §7.2.1).
    if (warning !== undefined && this.#state.tag === 'Established' && this.raw.writable) {
      this.raw.write(this.#state.writer.alert('warning', warning));
    }
    const more = this.#deliver(plaintexts, lent);
    if (end === undefined) {
      if (!more) this.raw.pause();
      return;
    }
    if (this.destroyed) return;
    switch (end.type) {
      case 'close_notify':
        this.push(null);
        // Its FIN is still to be noticed.
        this.raw.resume();
        return;
      case 'alert':
        this.destroy(
          new OffloadError(OffloadErrorCode.peerAlert, `peer sent alert ${end.alert}`, {
            phase: 'data',
            alert: end.alert,
            handshakeId: this.handshakeId,
          }),
        );
        return;
      case 'failure':
        this.#fail(
          end.error.alert,
          new OffloadError(OffloadErrorCode.record, end.error.message, {
            phase: 'data',
            alert: end.error.alert,
            reason: end.error.reason,
            handshakeId: this.handshakeId,
            cause: end.error,
          }),
        );
    }
  }

  /** Hands application data to the reader of this stream; false: it has enough for now. */
  #deliver(plaintexts: readonly Uint8Array[], lent: ArrayBufferLike | undefined): boolean {
    let more = true;
    for (const plaintext of ownMemory(plaintexts, lent)) {
      this.#bytesRead += plaintext.length;
      more = this.push(plaintext);
    }
    return more;
  }

  /**
   * Destroyed without an error and with nothing unsent: an end like any other for the peer, who gets
   * to know it if the socket takes it at once. Data cut short, or an error, stays a truncation.
   */
  #sayGoodbye({ writer }: RecordLayer): void {
    if (this.writableEnded || !this.raw.writable) return;
    if (this.#outgoing.hasUnsealed(this.writableLength)) return;
    const closeNotify = writer.alert('warning', 'close_notify');
    if (this.raw instanceof Socket) {
      if (this.raw.writableLength === 0) this.raw.write(closeNotify);
    } else {
      this.raw.end(closeNotify);
      this.#alertSent = true;
    }
  }

  /** Tells the peer and the application. */
  #fail(alert: AlertName, error: Error): void {
    if (this.#state.tag === 'Established' && this.raw.writable) {
      const level = alert === 'close_notify' ? 'warning' : 'fatal';
      this.raw.end(this.#state.writer.alert(level, alert));
      this.#alertSent = true;
    }
    this.destroy(error);
  }
}

function uncork(socket: OffloadSocket): void {
  socket.uncork();
}

function isSmall(chunk: unknown): boolean {
  if (typeof chunk === 'string') return chunk.length < gatherBelowBytes;
  return chunk instanceof Uint8Array && chunk.length < gatherBelowBytes;
}

/** A full record gains nothing from waiting for more. */
const gatherBelowBytes = 16_384;
