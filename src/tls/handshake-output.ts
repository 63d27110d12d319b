import { concat } from '../bytes/bytes.ts';
import { type AlertName, encodeAlert } from './alert.ts';
import { fragment, fragments } from './record/framing.ts';
import {
  createRecordSealer,
  type RecordProtectionParameters,
  type RecordSealer,
} from './record/protection.ts';
import { ContentType, ProtocolVersion } from './registries.ts';

/**
 * The records we write ({@link https://www.rfc-editor.org/rfc/rfc5246#section-6.2.1 | RFC 5246
 * §6.2.1}): messages of one flight are packed densely, a record never spans a change of keys, and
 * ChangeCipherSpec is alone in its record.
 */
export class HandshakeOutput {
  /** Messages of the flight that are in no record yet. */
  #messages: Uint8Array[] = [];
  /** Whole records not handed out yet. */
  #records: Uint8Array[] = [];
  #version: number = ProtocolVersion.tls12;
  #sealer: RecordSealer | undefined;

  /** Number of the next protected record; 0 as long as nothing is protected. */
  get sequenceNumber(): bigint {
    return this.#sealer?.sequenceNumber ?? 0n;
  }

  /** Appends one message, header included; goes out with the flight. */
  message(raw: Uint8Array): void {
    this.#messages.push(raw);
    // Finished has no neighbour to be packed with, and its number counts for what comes after us.
    if (this.#sealer !== undefined) this.#packMessages();
  }

  /**
   * Appends a ClientHello, whose record says TLS 1.0: servers that know later versions do not mind,
   * others may (RFC 5246 appendix E.1).
   */
  clientHello(raw: Uint8Array): void {
    this.#messages.push(raw);
    this.#version = ProtocolVersion.tls10;
    this.#packMessages();
    this.#version = ProtocolVersion.tls12;
  }

  /** Appends a ChangeCipherSpec; what follows is protected. */
  changeCipherSpec(protection: RecordProtectionParameters): void {
    this.#packMessages();
    this.#records.push(fragment(ContentType.change_cipher_spec, Uint8Array.of(1)));
    this.#sealer = createRecordSealer(protection);
  }

  /**
   * Appends a fatal alert, protected like all else by now. Of a flight not handed out yet only what
   * the peer needs to read it stays: nobody wants the rest.
   */
  fatalAlert(name: AlertName): void {
    this.#messages = [];
    if (this.#sealer === undefined) this.#records = [];
    this.#write(ContentType.alert, encodeAlert('fatal', name));
  }

  /** Everything written since the last call, or `undefined` for nothing. The caller's to keep. */
  take(): Uint8Array | undefined {
    this.#packMessages();
    const [first, ...others] = this.#records;
    this.#records = [];
    if (first === undefined || others.length === 0) return first;
    return concat(first, ...others);
  }

  /** Lets go of the keys. */
  free(): void {
    this.#sealer?.free();
    this.#messages = [];
    this.#records = [];
  }

  #packMessages(): void {
    if (this.#messages.length === 0) return;
    const [first, ...others] = this.#messages;
    if (first === undefined) return;
    this.#messages = [];
    this.#write(ContentType.handshake, others.length === 0 ? first : concat(first, ...others));
  }

  #write(type: ContentType, bytes: Uint8Array): void {
    const sealer = this.#sealer;
    if (sealer === undefined) {
      this.#records.push(fragment(type, bytes, this.#version));
      return;
    }
    for (const piece of fragments(bytes)) {
      const record = Buffer.allocUnsafeSlow(sealer.overhead + piece.length);
      sealer.seal(type, piece, record, 0);
      this.#records.push(record);
    }
  }
}
