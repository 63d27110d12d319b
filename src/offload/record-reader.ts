import { alertName, AlertLevel, TlsAlertError, type AlertName } from '../tls/alert.ts';
import { Deframer } from '../tls/record/framing.ts';
import type { RecordOpener } from '../tls/record/protection.ts';
import { ContentType, HandshakeType } from '../tls/registries.ts';

/** How the peer's side of a connection ended. */
export type IncomingEnd =
  | { readonly type: 'close_notify' }
  /** The peer sent a fatal alert. */
  | { readonly type: 'alert'; readonly alert: string }
  /** The peer broke a rule; `error.alert` is what it is to be told. */
  | { readonly type: 'failure'; readonly error: TlsAlertError };

/** What a piece of the stream held. */
export interface Incoming {
  /** Application data, in order; views of the bytes given, unless the cipher made its own. */
  readonly plaintexts: readonly Uint8Array[];
  /** A warning to be sent to the peer. */
  readonly warning: AlertName | undefined;
  /** Nothing after this is ever read. */
  readonly end: IncomingEnd | undefined;
}

export interface RecordReaderOptions {
  readonly opener: RecordOpener;
  readonly role: 'client' | 'server';
  /** HTTP/2 forbids renegotiation outright (RFC 9113 §9.2.1). */
  readonly renegotiationIsFatal: boolean;
  /** Records that may still be read with this key. */
  readonly maxRecords: number;
}

/**
 * The receiving half of an established TLS 1.2 connection: bytes in, application data and the rare
 * rest out (RFC 5246 §6.2, §7.2). What it refuses: anything but application data, alerts and the
 * start of a renegotiation, which it declines once; floods of empty records and of warnings.
 */
export class RecordReader {
  readonly #deframer = new Deframer('protected');
  readonly #options: RecordReaderOptions;
  #recordsLeft: number;
  #emptyRecords = 0;
  #warnings = 0;
  #renegotiationDeclined = false;
  #warning: AlertName | undefined;
  #end: IncomingEnd | undefined;

  constructor(options: RecordReaderOptions) {
    this.#options = options;
    this.#recordsLeft = options.maxRecords;
  }

  /** Whether the peer has ended its side, in order or not. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** `bytes` are decrypted in place where the cipher can; what is kept of them is copied. */
  receive(bytes: Uint8Array): Incoming {
    if (this.#end !== undefined) return { plaintexts: [], warning: undefined, end: undefined };
    const plaintexts: Uint8Array[] = [];
    this.#warning = undefined;
    try {
      this.#deframer.lend(bytes);
      this.#readAll(plaintexts);
    } catch (error) {
      if (!(error instanceof TlsAlertError)) throw error;
      this.#end = { type: 'failure', error };
    }
    return { plaintexts, warning: this.#warning, end: this.#end };
  }

  #readAll(plaintexts: Uint8Array[]): void {
    while (this.#end === undefined) {
      const next = this.#deframer.next();
      if (next === undefined) return;
      if (this.#recordsLeft === 0) {
        throw new TlsAlertError(
          'internal_error',
          'too many records were read with one key',
          'key_exhausted',
        );
      }
      this.#recordsLeft -= 1;
      const plaintext = this.#options.opener.open(next.record);
      if (next.type === ContentType.application_data) {
        if (plaintext.length === 0) this.#emptyRecord();
        else {
          this.#emptyRecords = 0;
          this.#warnings = 0;
          plaintexts.push(plaintext);
        }
      } else this.#control(next.type, plaintext);
    }
  }

  /** RFC 5246 §6.2.1 allows empty records; a flood of them would be work without end. */
  #emptyRecord(): void {
    this.#emptyRecords += 1;
    if (this.#emptyRecords > maxEmptyRecords) {
      throw new TlsAlertError('unexpected_message', 'too many empty records in a row');
    }
  }

  #control(type: ContentType, plaintext: Uint8Array): void {
    switch (type) {
      case ContentType.alert:
        this.#alert(plaintext);
        return;
      case ContentType.handshake:
        this.#handshakeMessage(plaintext);
        return;
      case ContentType.change_cipher_spec:
      case ContentType.application_data:
        throw new TlsAlertError('unexpected_message', 'ChangeCipherSpec after the handshake');
    }
  }

  // struct { AlertLevel level; AlertDescription description; } Alert;      (RFC 5246 §7.2)
  #alert(plaintext: Uint8Array): void {
    const [level, description] = plaintext;
    if (level === undefined || description === undefined || plaintext.length !== 2) {
      throw new TlsAlertError('decode_error', `alert of ${String(plaintext.length)} bytes`);
    }
    const alert = alertName(description);
    if (alert === 'close_notify') {
      this.#end = { type: 'close_notify' };
    } else if (level === AlertLevel.warning) {
      this.#warnings += 1;
      if (this.#warnings > maxWarnings) {
        throw new TlsAlertError('unexpected_message', 'too many warning alerts in a row');
      }
    } else if (level === AlertLevel.fatal) {
      this.#end = { type: 'alert', alert };
    } else {
      throw new TlsAlertError('illegal_parameter', `alert of level ${String(level)}`);
    }
  }

  /**
   * The start of a renegotiation, RFC 5246 §7.4.1.1-2: HelloRequest for a client, ClientHello for a
   * server. Declined once by a warning, as §7.2.2 allows; a peer that insists is cut off.
   */
  #handshakeMessage(plaintext: Uint8Array): void {
    const [type] = plaintext;
    const renegotiates =
      this.#options.role === 'client'
        ? type === HandshakeType.hello_request &&
          plaintext.length === helloRequestBytes &&
          plaintext.every((byte) => byte === 0)
        : type === HandshakeType.client_hello;
    if (!renegotiates) {
      throw new TlsAlertError('unexpected_message', 'handshake message after the handshake');
    }
    if (this.#renegotiationDeclined || this.#options.renegotiationIsFatal) {
      throw new TlsAlertError('no_renegotiation', 'peer wants to renegotiate');
    }
    this.#renegotiationDeclined = true;
    this.#warning = 'no_renegotiation';
  }
}

const maxEmptyRecords = 32;
const maxWarnings = 4;
const helloRequestBytes = 4;
