import { AlertLevel, alertName, TlsAlertError } from './alert.ts';
import { PeerEndedError } from './handshake-failure.ts';
import type { HandshakeInput } from './handshake-input.ts';
import { HandshakeReassembler } from './messages/handshake-message.ts';
import { bodyOf, Deframer, type TlsRecord } from './record/framing.ts';
import {
  createRecordOpener,
  type RecordOpener,
  type RecordProtectionParameters,
} from './record/protection.ts';
import { ContentType } from './registries.ts';

/**
 * What the peer's bytes say: whole messages and ChangeCipherSpecs in order. Alerts end here, and so
 * does everything that breaks a rule before its meaning matters.
 */
export class HandshakeIntake {
  readonly #deframer = new Deframer('initial');
  readonly #reassembler = new HandshakeReassembler();
  #opener: RecordOpener | undefined;
  #consumedBytes = 0;
  #warnings = 0;
  #ignoredMessages = 0;

  /** Number of the next protected record; 0 as long as nothing is protected. */
  get sequenceNumber(): bigint {
    return this.#opener?.sequenceNumber ?? 0n;
  }

  /** Bytes behind the last record taken. */
  get bufferedBytes(): number {
    return this.#deframer.bufferedBytes;
  }

  /** Adds bytes, which are copied. */
  push(bytes: Uint8Array): void {
    this.#deframer.push(bytes);
  }

  /** As {@link push} while nothing is taken out: throws `TlsAlertError` when too much waits. */
  hold(bytes: Uint8Array): void {
    this.#deframer.push(bytes);
    if (this.#deframer.bufferedBytes > maxHandshakeBytes) throw tooLarge();
  }

  /**
   * The next message or ChangeCipherSpec, `undefined` until more bytes come. Throws `TlsAlertError`,
   * and `PeerEndedError` when an alert ends the handshake.
   */
  next(): HandshakeInput | undefined {
    for (;;) {
      const message = this.#reassembler.next();
      if (message !== undefined) return { type: 'message', message };
      const record = this.#deframer.next();
      if (record === undefined) return undefined;
      this.#consume(record.record.length);
      const input = this.#accept(record);
      if (input !== undefined) return input;
    }
  }

  /** From now on records are those of TLS 1.2. */
  fixVersion(): void {
    this.#deframer.epoch = 'plaintext';
  }

  /** From now on records are protected. */
  protect(protection: RecordProtectionParameters): void {
    this.#opener = createRecordOpener(protection);
    this.#deframer.epoch = 'protected';
  }

  /** Throws unless the message just taken ended its record. */
  requireFlightEnd(message: string): void {
    if (this.#reassembler.empty) return;
    throw new TlsAlertError('unexpected_message', `more handshake bytes behind ${message}`);
  }

  /** Counts a message that moves nothing. */
  ignoreMessage(): void {
    this.#ignoredMessages += 1;
    if (this.#ignoredMessages <= maxIgnoredMessages) return;
    throw new TlsAlertError('unexpected_message', 'too many messages of no use');
  }

  /** Lets go of the keys. */
  free(): void {
    this.#opener?.free();
  }

  #consume(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes > maxHandshakeBytes) throw tooLarge();
  }

  #accept({ type, record }: TlsRecord): HandshakeInput | undefined {
    switch (type) {
      case ContentType.handshake:
        this.#warnings = 0;
        this.#reassembler.push(nonEmpty(this.#open(record)));
        return undefined;
      case ContentType.alert:
        this.#alert(this.#open(record));
        return undefined;
      case ContentType.change_cipher_spec:
        this.#warnings = 0;
        return this.#changeCipherSpec(bodyOf(record));
      case ContentType.application_data:
        // Not even decrypted: it is not ours to see.
        throw new TlsAlertError('unexpected_message', 'application data before the end');
    }
  }

  #open(record: Uint8Array): Uint8Array {
    return this.#opener === undefined ? bodyOf(record) : this.#opener.open(record);
  }

  // struct { enum { change_cipher_spec(1), (255) } type; } ChangeCipherSpec;
  #changeCipherSpec(body: Uint8Array): HandshakeInput {
    if (this.#opener !== undefined) {
      throw new TlsAlertError('unexpected_message', 'second ChangeCipherSpec');
    }
    if (!this.#reassembler.empty) {
      throw new TlsAlertError('unexpected_message', 'ChangeCipherSpec inside a message');
    }
    if (body.length !== 1) {
      throw new TlsAlertError('decode_error', 'ChangeCipherSpec: not one byte');
    }
    if (body[0] !== 1) throw new TlsAlertError('illegal_parameter', 'ChangeCipherSpec: not 1');
    return { type: 'changeCipherSpec' };
  }

  // struct { AlertLevel level; AlertDescription description; } Alert;
  #alert(body: Uint8Array): void {
    const [level, description] = body;
    if (body.length !== 2 || description === undefined) {
      throw new TlsAlertError('decode_error', 'alert: not two bytes');
    }
    if (level !== AlertLevel.warning && level !== AlertLevel.fatal) {
      throw new TlsAlertError('illegal_parameter', 'alert: unknown level');
    }
    const name = alertName(description);
    // Both say goodbye whatever their level (RFC 5246 §7.2.1, §7.2.2).
    if (name === 'close_notify' || name === 'user_canceled') {
      throw new PeerEndedError('peer_closed', name);
    }
    if (level === AlertLevel.fatal) throw new PeerEndedError('peer_alert', name);
    this.#warnings += 1;
    if (this.#warnings > maxWarnings) {
      throw new TlsAlertError('unexpected_message', 'too many warning alerts');
    }
  }
}

function tooLarge(): TlsAlertError {
  return new TlsAlertError('illegal_parameter', 'handshake too large', 'handshake_too_large');
}

function nonEmpty(fragment: Uint8Array): Uint8Array {
  if (fragment.length > 0) return fragment;
  throw new TlsAlertError('unexpected_message', 'empty handshake record');
}

/** Two chains of the largest size we take, and all the rest. Bounds what one peer makes us hold. */
const maxHandshakeBytes = 128 * 1024;
/**
 * Alerts in a row that change nothing. Together with {@link maxIgnoredMessages} and the refusal of
 * empty records this bounds records without progress: any other adds bytes to a message.
 */
const maxWarnings = 4;
/** HelloRequests. */
const maxIgnoredMessages = 4;
