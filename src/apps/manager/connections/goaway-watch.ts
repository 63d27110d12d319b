import type { Duplex } from 'node:stream';

/**
 * Calls `refused` once with the error code of the GOAWAY that our own end of HTTP/2 sends when the other side broke a
 * rule of it. Node's session tells nobody of most of them: it looks healthy and answers nothing any more. So what it
 * writes is watched, from the connection preface on.
 */
export function watchGoaway(socket: Duplex, refused: (code: number) => void): void {
  const frames = new FrameHeads((code) => {
    // It is being written: whoever ends the session now would do so inside of it.
    setImmediate(refused, code);
  });
  const write = socket.write.bind(socket) as (...args: readonly unknown[]) => boolean;
  socket.write = (chunk: unknown, ...rest: readonly unknown[]): boolean => {
    if (chunk instanceof Uint8Array) frames.see(chunk);
    return write(chunk, ...rest);
  };
}

/** Follows frames through any pieces ({@link https://www.rfc-editor.org/rfc/rfc9113#section-4.1 | RFC 9113 §4.1}). */
class FrameHeads {
  readonly #refused: (code: number) => void;
  readonly #head = Buffer.alloc(goawayBytes);
  #filled = 0;
  #skip = prefaceBytes;

  constructor(refused: (code: number) => void) {
    this.#refused = refused;
  }

  see(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      const wanted = (this.#filled < headBytes ? headBytes : goawayBytes) - this.#filled;
      const taken = chunk.subarray(at, at + wanted);
      this.#head.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (taken.length === wanted) this.#look();
    }
  }

  #look(): void {
    const length = this.#head.readUIntBE(0, 3);
    if (this.#filled === headBytes) {
      if (this.#head[3] === GOAWAY) return;
      this.#skip = length;
    } else {
      // Code 0 says that all is well.
      const code = this.#head.readUInt32BE(headBytes + 4);
      if (code !== 0) this.#refused(code);
      this.#skip = length - (goawayBytes - headBytes);
    }
    this.#filled = 0;
  }
}

const prefaceBytes = 24;
const headBytes = 9;
const GOAWAY = 7;
/** With the last stream and the error code, which every GOAWAY has (RFC 9113 §6.8). */
const goawayBytes = 17;
