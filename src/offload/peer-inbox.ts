import { concat, copyOf } from '../bytes/bytes.ts';
import { maxPlaintextBytes, recordHeaderBytes } from '../tls/record/framing.ts';
import { ContentType } from '../tls/registries.ts';

/**
 * The peer's bytes during the handshake, until someone asks for them. They are handed out once a
 * whole record is there, so a peer that dribbles costs no exchange with the sidecar per segment, and
 * one that sends nothing holds no place in any queue.
 */
export class PeerInbox {
  readonly #onTaken: () => void;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended: Error | undefined;
  #reader:
    | { readonly resolve: (bytes: Uint8Array) => void; readonly reject: (error: Error) => void }
    | undefined;

  /** `onTaken` is called whenever bytes have been taken out. */
  constructor(onTaken: () => void = () => undefined) {
    this.#onTaken = onTaken;
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

  /** At least one whole record, or something that is none, or whatever is left at the end. */
  read(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#serve();
    });
  }

  /** Waits until {@link read} would answer. */
  async ready(): Promise<void> {
    const bytes = await this.read();
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

  #serve(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if (this.#bytes > 0 && (this.#ended !== undefined || this.#startsWithWholeRecord())) {
      this.#reader = undefined;
      reader.resolve(this.#take());
      this.#onTaken();
    } else if (this.#ended !== undefined) {
      this.#reader = undefined;
      reader.reject(this.#ended);
    }
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

/** Half of what the sidecar takes in one message. */
const maxTakenBytes = 65_536;
