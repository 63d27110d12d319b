import type { GrpcChannel } from './grpc-channel.ts';
import { GrpcStatus } from './grpc-channel.ts';
import { HandshakeStream } from './handshake-stream.ts';

/**
 * Streams kept for the next handshake, one after the other: setting a stream up costs more than all
 * messages of a handshake. A sidecar that ends its streams after one handshake, as S2A has it, is
 * noticed and asked again only now and then.
 */
export class StreamPool {
  readonly #channel: GrpcChannel;
  readonly #idle: { readonly stream: HandshakeStream; readonly since: number }[] = [];
  #sweeper: NodeJS.Timeout | undefined;
  #keepAgainAt = -Infinity;

  constructor(channel: GrpcChannel) {
    this.#channel = channel;
  }

  /** Whether to ask the sidecar to keep the stream. */
  get keepsStreams(): boolean {
    return performance.now() >= this.#keepAgainAt;
  }

  /** Rejects with the socket's error if the sidecar cannot be reached. */
  async take(): Promise<HandshakeStream> {
    for (;;) {
      const kept = this.#idle.pop();
      if (kept === undefined) return HandshakeStream.open(this.#channel);
      kept.stream.onIdleEnd = undefined;
      if (!kept.stream.ended) return kept.stream;
    }
  }

  /** After a handshake that succeeded; others end their stream. */
  giveBack(stream: HandshakeStream): void {
    stream.rest();
    if (stream.ended) return;
    if (!this.keepsStreams || this.#idle.length >= maxIdleStreams) {
      stream.finish();
      return;
    }
    const since = performance.now();
    stream.onIdleEnd = (status) => {
      this.#remove(stream);
      const atOnce = stream.handshakes === 1 && performance.now() - since < atOnceMs;
      if (status.code === GrpcStatus.ok && atOnce) {
        this.#keepAgainAt = performance.now() + notKeptForMs;
      }
    };
    this.#idle.push({ stream, since });
    this.#sweeper ??= setInterval(() => {
      this.#sweep();
    }, maxIdleMs / 2).unref();
  }

  close(): void {
    for (const { stream } of this.#idle.splice(0)) stream.cancel();
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #remove(stream: HandshakeStream): void {
    const index = this.#idle.findIndex((kept) => kept.stream === stream);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  /** The oldest lie in front, as the newest are taken first. */
  #sweep(): void {
    const oldest = performance.now() - maxIdleMs;
    while (this.#idle[0] !== undefined && this.#idle[0].since < oldest) {
      const expired = this.#idle.shift();
      if (expired === undefined) break;
      expired.stream.onIdleEnd = undefined;
      expired.stream.finish();
    }
    if (this.#idle.length > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

/** Each costs about 30 KiB; however many handshakes run at once, few streams are idle meanwhile. */
const maxIdleStreams = 16;
/** Far below the five minutes after which a sidecar ends an idle stream itself. */
const maxIdleMs = 60_000;
const notKeptForMs = 60_000;
/** A stream that ends later than this was kept at first. */
const atOnceMs = 1000;
