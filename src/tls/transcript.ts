import { concat } from '../bytes/bytes.ts';
import type { PrfHash } from '../crypto/prf.ts';
import { createRunningHash, type RunningHash } from '../crypto/hash.ts';

/**
 * All handshake messages so far, headers included, exactly as sent and received; HelloRequests are
 * left out ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246 §7.4.9}).
 *
 * The hash is named by the ServerHello, so what comes before is kept until then. A CertificateVerify
 * covers the messages themselves, hashed by its own scheme (RFC 5246 §7.4.8): where one may come,
 * they are kept until {@link Transcript.dropRaw}.
 */
export class Transcript {
  #messages: Uint8Array[] = [];
  #hash: RunningHash | undefined;
  #keepRaw: boolean;

  constructor(options: { readonly keepRaw: boolean }) {
    this.#keepRaw = options.keepRaw;
  }

  /** Appends one message (or several). The bytes are held, not copied: they must not change. */
  add(raw: Uint8Array): void {
    this.#hash?.update(raw);
    if (this.#hash === undefined || this.#keepRaw) this.#messages.push(raw);
  }

  /** Names the hash of the suite; throws `TypeError` the second time. */
  chooseHash(hash: PrfHash): void {
    if (this.#hash !== undefined) throw new TypeError('the transcript hash is already chosen');
    this.#hash = createRunningHash(hash);
    for (const message of this.#messages) this.#hash.update(message);
    if (!this.#keepRaw) this.#messages = [];
  }

  /** Hash of everything added so far; more may follow. Throws `TypeError` before a hash is chosen. */
  digest(): Uint8Array {
    if (this.#hash === undefined) throw new TypeError('the transcript hash is not chosen yet');
    return this.#hash.digest();
  }

  /** The messages themselves, joined. Throws `TypeError` unless they were kept. */
  raw(): Uint8Array {
    if (!this.#keepRaw) throw new TypeError('the transcript does not keep its messages');
    return concat(...this.#messages);
  }

  /** Lets go of the messages once no signature over them can come any more. */
  dropRaw(): void {
    this.#keepRaw = false;
    if (this.#hash !== undefined) this.#messages = [];
  }
}
