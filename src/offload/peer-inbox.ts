import { concat, copyOf } from '../bytes/bytes.ts';
import { maxPlaintextBytes, recordHeaderBytes } from '../tls/record/framing.ts';
import { ContentType } from '../tls/registries.ts';

/**
 * The peer's bytes during the handshake, until someone asks for them. They are handed out once a
 * whole record is there, so a peer that dribbles costs no exchange with the sidecar per segment, and
 * one that sends nothing holds no place in any queue. When a record is long in coming, its part goes
 * out: the sidecar gives up on peers it does not hear of.
 */
export class PeerInbox {
  readonly #onTaken: () => void;
  readonly #patienceMs: number;
  #patience: NodeJS.Timeout | undefined;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended: Error | undefined;
  #reader: InboxReader | undefined;

  /**
   * `onTaken` is called whenever bytes have been taken out; `patienceMs` is how long the rest of a
   * record is waited for.
   */
  constructor(onTaken: () => void = () => undefined, patienceMs = 1000) {
    this.#onTaken = onTaken;
    this.#patienceMs = patienceMs;
  }

  /** So much is waiting that the peer should be slowed down. */
  get full(): boolean {
    return this.#bytes >= maxTakenBytes;
  }

  /** Adds bytes, which are copied. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(copyOf(bytes));
    this.#bytes += bytes.length;
    this.#serve();
  }

  /** Nothing more will come; `error` is what readers get once all is read. */
  end(error: Error): void {
    this.#ended ??= error;
    this.#serve();
  }

  /**
   * At least one whole record, or something that is none, or the part of one that does not go on, or
   * whatever is left at the end.
   */
  read(): Promise<Uint8Array> {
    return this.#wait(true);
  }

  /** Waits until a whole record is there, or something that is none; however long it takes. */
  async ready(): Promise<void> {
    const bytes = await this.#wait(false);
    this.#chunks.unshift(bytes);
    this.#bytes += bytes.length;
  }

  /** All that is there, possibly nothing. */
  drain(): Uint8Array {
    const bytes = concat(...this.#chunks);
    this.#chunks = [];
    this.#bytes = 0;
    return bytes;
  }

  #wait(takesParts: boolean): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject, takesParts };
      this.#serve();
    });
  }

  #serve(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if (this.#bytes > 0 && (this.#ended !== undefined || this.#startsWithWholeRecord())) {
      this.#handOut(reader);
    } else if (this.#ended !== undefined) {
      this.#stopWaiting();
      reader.reject(this.#ended);
    } else if (this.#bytes > 0 && reader.takesParts) {
      this.#patience ??= setTimeout(() => {
        this.#handOut(reader);
      }, this.#patienceMs);
    }
  }

  #handOut(reader: InboxReader): void {
    this.#stopWaiting();
    reader.resolve(this.#take());
    this.#onTaken();
  }

  #stopWaiting(): void {
    this.#reader = undefined;
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  #take(): Uint8Array {
    const bytes = this.drain();
    if (bytes.length <= maxTakenBytes) return bytes;
    this.#chunks.push(bytes.subarray(maxTakenBytes));
    this.#bytes = bytes.length - maxTakenBytes;
    return bytes.subarray(0, maxTakenBytes);
  }

  #startsWithWholeRecord(): boolean {
    const header = this.#start();
    if (header === undefined) return false;
    const [type = 0, major, , high = 0, low = 0] = header;
    const length = high * 256 + low;
    const isRecord =
      type >= ContentType.change_cipher_spec &&
      type <= ContentType.application_data &&
      major === 3 &&
      length <= maxPlaintextBytes + 256;
    return !isRecord || this.#bytes >= recordHeaderBytes + length;
  }

  /** The first bytes, together in one array, as soon as they make a record's header. */
  #start(): Uint8Array | undefined {
    if (this.#bytes < recordHeaderBytes) return undefined;
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= recordHeaderBytes) return first;
    const bytes = concat(...this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }
}

interface InboxReader {
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly takesParts: boolean;
}

/** Half of what the sidecar takes in one message. */
const maxTakenBytes = 65_536;
