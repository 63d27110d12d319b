/** Keeps the last bytes of an output of any length. */
export class OutputTail {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    // Now and then, so that no byte is copied often.
    if (this.#length > this.#maxBytes * 2) this.#cut();
  }

  /** What is no UTF-8, at the cut for one, reads as U+FFFD. */
  text(): string {
    this.#cut();
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  #cut(): void {
    const all = Buffer.concat(this.#chunks);
    const tail = Buffer.from(all.subarray(Math.max(0, all.length - this.#maxBytes)));
    this.#chunks = [tail];
    this.#length = tail.length;
  }
}
