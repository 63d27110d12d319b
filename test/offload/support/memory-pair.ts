import { Duplex } from 'node:stream';

/** How bytes cross: as they were written, one at a time, or all of a turn in one piece. */
export type Pace = 'as written' | 'one at a time' | 'coalesced';

/** Two streams, each reading what the other writes; no sockets. */
export function memoryPair(pace: Pace): readonly [MemoryEnd, MemoryEnd] {
  const left = new MemoryEnd(pace);
  const right = new MemoryEnd(pace);
  left.other = right;
  right.other = left;
  return [left, right];
}

export class MemoryEnd extends Duplex {
  other: MemoryEnd | undefined;
  readonly #pace: Pace;
  #waiting: Buffer[] = [];
  #resume: (() => void) | undefined;

  constructor(pace: Pace) {
    super({ allowHalfOpen: true });
    this.#pace = pace;
  }

  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    // A stream that passes references on: whoever writes must not touch the bytes again.
    switch (this.#pace) {
      case 'as written':
        this.#pass(chunk, done);
        return;
      case 'one at a time':
        for (let offset = 0; offset < chunk.length; offset += 1) {
          this.other?.push(chunk.subarray(offset, offset + 1));
        }
        done();
        return;
      case 'coalesced':
        this.#waiting.push(chunk);
        if (this.#waiting.length === 1) {
          setImmediate(() => {
            this.#flush();
          });
        }
        done();
    }
  }

  override _final(done: () => void): void {
    this.#flush();
    this.other?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.other;
    if (other !== undefined && !other.readableEnded) other.push(null);
    // Nobody reads any more: neither end waits for the other to have done so.
    this._read();
    other?._read();
    done(error);
  }

  #pass(chunk: Buffer, done: () => void): void {
    const other = this.other;
    if (other === undefined || other.destroyed || other.push(chunk)) done();
    else other.#resume = done;
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    if (bytes.length > 0 && this.other?.readableEnded === false) this.other.push(bytes);
  }
}
