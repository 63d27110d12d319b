import type { Socket } from 'node:net';

/** Reads a socket the way blocking clients do: one read returns what is there, or waits. */
export class ByteSource {
  readonly #chunks: Buffer[] = [];
  #ended = false;
  #waiting: (() => void) | undefined;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#waiting?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#waiting?.();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  /** At most `limit` bytes; `undefined` when the peer has ended. */
  async read(limit = 65_536): Promise<Buffer | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        if (chunk.length <= limit) return chunk;
        this.#chunks.unshift(chunk.subarray(limit));
        return chunk.subarray(0, limit);
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  /** Puts bytes back in front. */
  unread(bytes: Buffer): void {
    if (bytes.length > 0) this.#chunks.unshift(bytes);
  }
}
