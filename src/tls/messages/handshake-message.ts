import { TlsAlertError } from '../alert.ts';
import { HandshakeType } from '../registries.ts';

/** One whole handshake message. */
export interface HandshakeMessage {
  /** A `HandshakeType`, or a number we do not know. */
  readonly type: number;
  readonly body: Uint8Array;
  /** Header and body as received: what the transcript takes. */
  readonly raw: Uint8Array;
}

// struct {
//   HandshakeType msg_type;
//   uint24 length;
//   select (HandshakeType) { ... } body;
// } Handshake;

/** A message ready to send and to hash ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4 | RFC 5246 §7.4}). */
export function encodeHandshakeMessage(type: HandshakeType, body: Uint8Array): Uint8Array {
  const raw = Buffer.allocUnsafeSlow(headerBytes + body.length);
  raw.writeUInt8(type, 0);
  raw.writeUIntBE(body.length, 1, 3);
  raw.set(body, headerBytes);
  return raw;
}

/**
 * Joins the fragments of handshake records into messages, whatever their cut.
 *
 * `push` copies; messages are views of memory that is never written again, so they may be kept.
 */
export class HandshakeReassembler {
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  /** Whether no bytes of an unfinished message are held. */
  get empty(): boolean {
    return this.#start === this.#end;
  }

  push(fragment: Uint8Array): void {
    if (this.#end + fragment.length > this.#buffer.length) this.#makeRoom(fragment.length);
    this.#buffer.set(fragment, this.#end);
    this.#end += fragment.length;
  }

  /**
   * The next whole message, `undefined` while it is incomplete. Throws `illegal_parameter` as soon
   * as a header announces more than its type may have.
   */
  next(): HandshakeMessage | undefined {
    if (this.#end - this.#start < headerBytes) return undefined;
    const type = this.#buffer.readUInt8(this.#start);
    const length = this.#buffer.readUIntBE(this.#start + 1, 3);
    if (length > maxBodyBytes(type)) {
      throw new TlsAlertError(
        'illegal_parameter',
        `handshake message of type ${String(type)} with ${String(length)} bytes`,
      );
    }
    const end = this.#start + headerBytes + length;
    if (end > this.#end) return undefined;
    const raw = this.#buffer.subarray(this.#start, end);
    this.#start = end;
    return { type, body: raw.subarray(headerBytes), raw };
  }

  /** Moves to new memory: the old one belongs to the messages given out. */
  #makeRoom(extra: number): void {
    const held = this.#end - this.#start;
    // Doubling keeps byte-wise delivery linear; a message that came whole is copied once.
    const larger = Buffer.allocUnsafeSlow(held === 0 ? extra : Math.max(held + extra, held * 2));
    this.#buffer.copy(larger, 0, this.#start, this.#end);
    this.#buffer = larger;
    this.#start = 0;
    this.#end = held;
  }
}

function maxBodyBytes(type: number): number {
  switch (type) {
    case HandshakeType.certificate:
    case HandshakeType.certificate_request:
    case HandshakeType.certificate_status:
      return maxListBytes;
    case HandshakeType.new_session_ticket:
      return maxTicketMessageBytes;
    default:
      return maxMessageBytes;
  }
}

const headerBytes = 4;
/** Longest of the others is a ClientHello carrying a ticket. */
const maxMessageBytes = 16 * 1024;
/** Chains and lists of authorities. */
const maxListBytes = 64 * 1024;
/** The whole range of NewSessionTicket: hint, length, 2^16 - 1 bytes. */
const maxTicketMessageBytes = 4 + 2 + 0xffff;
