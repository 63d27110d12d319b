import type { Duplex } from 'node:stream';
import { asError } from './errors.ts';
import type { RecordWriter } from './record-writer.ts';

/** As streams call back; `null` is no error. */
export type Callback = (error?: Error | null) => void;

export interface OutgoingEvents {
  /** The connection below did not take what it was given. */
  readonly onWriteFailed: (error: Error) => void;
  /** Nothing more can be sealed with these keys. */
  readonly onSealFailed: (error: Error) => void;
}

/**
 * What an application writes on a connection: kept until there are keys, then sealed and written a slab
 * at a time, the next when the connection below has taken the last; at the end close_notify.
 */
export class Outgoing {
  readonly #raw: Duplex;
  readonly #events: OutgoingEvents;
  #writer: RecordWriter | undefined;
  #stopped = false;
  /** Application data that came before there were keys. */
  #early: Uint8Array[] = [];
  /** Who waits for what is being written, and how many bytes it is. */
  #done: Callback | undefined;
  #bytes = 0;
  #bytesWritten = 0;
  #endDone: Callback | undefined;

  constructor(raw: Duplex, events: OutgoingEvents) {
    this.#raw = raw;
    this.#events = events;
  }

  /** Bytes of application data that the connection below has taken. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Not called again before it has called back. */
  send(chunks: readonly Uint8Array[], callback: Callback): void {
    if (this.#stopped) {
      callback(new Error('socket was destroyed'));
      return;
    }
    this.#done = callback;
    this.#bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.#writer === undefined) {
      this.#early.push(...chunks);
      return;
    }
    for (const chunk of chunks) this.#writer.push(chunk);
    this.#pump(this.#writer);
  }

  /** There is nothing more: close_notify goes out behind all that was sent. */
  end(callback: Callback): void {
    this.#endDone = callback;
    if (this.#writer !== undefined) this.#closeOurSide(this.#writer);
  }

  /** There are keys. */
  open(writer: RecordWriter): void {
    this.#writer = writer;
    for (const chunk of this.#early) writer.push(chunk);
    this.#early = [];
    this.#pump(writer);
  }

  /** Whether some of what was written is not sealed yet; `pendingBytes`: that nobody was called back for. */
  hasUnsealed(pendingBytes: number): boolean {
    const sealed = this.#done === undefined || this.#writer === undefined ? 0 : this.#bytes;
    return pendingBytes > sealed || (this.#writer?.queuedBytes ?? 0) > 0;
  }

  /** Seals and writes nothing more; answers who still waits for a write. */
  stop(): Callback | undefined {
    const done = this.#done;
    this.#stopped = true;
    this.#writer = undefined;
    this.#early = [];
    this.#done = undefined;
    return done;
  }

  #pump(writer: RecordWriter): void {
    if (this.#stopped) return;
    try {
      const slab = writer.next();
      if (slab === undefined) {
        this.#written(writer);
        return;
      }
      this.#raw.write(slab.bytes, (error) => {
        if (error instanceof Error) {
          this.#events.onWriteFailed(error);
          return;
        }
        slab.release();
        if (writer.queuedBytes === 0) this.#written(writer);
        else this.#pump(writer);
      });
    } catch (error) {
      this.#events.onSealFailed(asError(error));
    }
  }

  #written(writer: RecordWriter): void {
    const done = this.#done;
    this.#done = undefined;
    if (done !== undefined) {
      this.#bytesWritten += this.#bytes;
      done();
    }
    if (this.#endDone !== undefined && !this.#stopped) this.#closeOurSide(writer);
  }

  #closeOurSide(writer: RecordWriter): void {
    const done = this.#endDone;
    this.#endDone = undefined;
    try {
      this.#raw.end(writer.alert('warning', 'close_notify'), () => done?.());
    } catch (error) {
      done?.(asError(error));
    }
  }
}
