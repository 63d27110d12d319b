import { type AddressInfo, Socket } from 'node:net';
import { Duplex, type DuplexOptions } from 'node:stream';

/**
 * The part of `net.Socket` that has to do with the connection below: libraries that are handed a
 * socket reach for these without asking what it is. Everything is passed to the stream underneath
 * where that is a socket itself, and harmless where it is not.
 */
export abstract class SocketSurface extends Duplex {
  protected readonly raw: Duplex;
  readonly #socket: Socket | SocketSurface | undefined;

  protected constructor(raw: Duplex, options: DuplexOptions) {
    super(options);
    this.raw = raw;
    this.#socket = raw instanceof Socket || raw instanceof SocketSurface ? raw : undefined;
  }

  /** Application data received, in bytes. */
  abstract get bytesRead(): number;
  /** Application data written, including what is waiting, in bytes. */
  abstract get bytesWritten(): number;

  /** Whether the TCP connection is still being made. */
  get connecting(): boolean {
    return this.#socket?.connecting ?? false;
  }

  get pending(): boolean {
    return this.#socket?.pending ?? false;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }

  get remoteFamily(): string | undefined {
    return this.#socket?.remoteFamily;
  }

  get localAddress(): string | undefined {
    return this.#socket?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  get localFamily(): string | undefined {
    return this.#socket?.localFamily;
  }

  /** Milliseconds of silence after which `timeout` is emitted, as set by `setTimeout`. */
  get timeout(): number | undefined {
    return this.#socket?.timeout;
  }

  address(): Partial<AddressInfo> {
    return this.#socket?.address() ?? {};
  }

  setTimeout(timeoutMs: number, callback?: () => void): this {
    if (callback !== undefined) {
      if (timeoutMs === 0) this.removeListener('timeout', callback);
      else this.once('timeout', callback);
    }
    this.#socket?.setTimeout(timeoutMs);
    return this;
  }

  setNoDelay(noDelay?: boolean): this {
    this.#socket?.setNoDelay(noDelay);
    return this;
  }

  setKeepAlive(enable?: boolean, initialDelayMs?: number): this {
    this.#socket?.setKeepAlive(enable, initialDelayMs);
    return this;
  }

  ref(): this {
    this.#socket?.ref();
    return this;
  }

  unref(): this {
    this.#socket?.unref();
    return this;
  }

  /** Ends the connection once everything written is out. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Resets the TCP connection instead of closing it. */
  resetAndDestroy(): this {
    if (this.#socket !== undefined && !this.#socket.destroyed) this.#socket.resetAndDestroy();
    return this.destroy();
  }
}
