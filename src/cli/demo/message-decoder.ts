import { alertName } from '../../tls/alert.ts';
import { ContentType, HandshakeType, nameOf } from '../../tls/registries.ts';

/**
 * Names the TLS 1.2 messages in one direction of a connection, as one who only listens can: what
 * comes behind ChangeCipherSpec is known by its record type alone (RFC 5246 §6.2, §7.4).
 */
export class MessageDecoder {
  readonly #onMessage: (name: string) => void;
  readonly #header = Buffer.alloc(headerBytes);
  #headerFilled = 0;
  #bodyLeft = 0;
  #body: Uint8Array[] = [];
  /** Handshake bytes before encryption; a message may span records, a record may hold several. */
  #handshake = Buffer.alloc(0);
  #encrypted = false;
  #finished = false;

  /** @param onMessage told each message by its RFC name, in order */
  constructor(onMessage: (name: string) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes bytes cut in any way. */
  push(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      rest = this.#headerFilled < headerBytes ? this.#takeHeader(rest) : this.#takeBody(rest);
    }
  }

  #takeHeader(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, headerBytes - this.#headerFilled);
    this.#header.set(part, this.#headerFilled);
    this.#headerFilled += part.length;
    if (this.#headerFilled === headerBytes) {
      this.#bodyLeft = this.#header.readUInt16BE(3);
      if (this.#bodyLeft === 0) this.#endRecord();
    }
    return bytes.subarray(part.length);
  }

  #takeBody(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, this.#bodyLeft);
    if (!this.#encrypted) this.#body.push(part);
    this.#bodyLeft -= part.length;
    if (this.#bodyLeft === 0) this.#endRecord();
    return bytes.subarray(part.length);
  }

  #endRecord(): void {
    const type = this.#header[0];
    const body = Buffer.concat(this.#body);
    this.#body = [];
    this.#headerFilled = 0;
    switch (type) {
      case ContentType.handshake:
        this.#takeHandshake(body);
        return;
      case ContentType.change_cipher_spec:
        this.#encrypted = true;
        this.#onMessage('ChangeCipherSpec');
        return;
      case ContentType.alert:
        this.#onMessage(
          this.#encrypted ? 'alert (encrypted)' : `alert ${alertName(body[1] ?? -1)}`,
        );
        return;
      case ContentType.application_data:
        this.#onMessage('application data');
        return;
      default:
        this.#onMessage(`record of unknown type ${String(type)}`);
    }
  }

  #takeHandshake(body: Buffer): void {
    if (this.#encrypted) {
      this.#onMessage(this.#finished ? 'handshake message (encrypted)' : 'Finished (encrypted)');
      this.#finished = true;
      return;
    }
    this.#handshake = Buffer.concat([this.#handshake, body]);
    while (this.#handshake.length >= 4) {
      const end = 4 + this.#handshake.readUIntBE(1, 3);
      if (this.#handshake.length < end) return;
      this.#onMessage(messageName(this.#handshake.readUInt8(0)));
      this.#handshake = this.#handshake.subarray(end);
    }
  }
}

/** `client_hello` is ClientHello in the RFC's text. */
function messageName(type: number): string {
  return nameOf(HandshakeType, type)
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

const headerBytes = 5;
