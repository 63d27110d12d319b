import { equalConstantTime } from '../bytes/bytes.ts';
import { TlsAlertError } from './alert.ts';
import type { CipherSuite } from './cipher-suites.ts';
import type { HandshakeConnection } from './handshake-connection.ts';
import { type HandshakeInput, expectMessage } from './handshake-input.ts';
import { verifyData } from './key-schedule.ts';
import { encodeFinished, parseFinished } from './messages/finished.ts';
import { HandshakeType } from './registries.ts';
import type { Transcript } from './transcript.ts';

/** Whose Finished: the label of RFC 5246 §7.4.9. */
export type FinishedLabel = 'client finished' | 'server finished';

/**
 * That the peer saw the same handshake. Only {@link receiveFinished} makes one, and no keys leave
 * the engine without it (no false start).
 */
export class FinishedVerified {
  readonly verifyData: Uint8Array;
  private constructor(received: Uint8Array) {
    this.verifyData = received;
  }

  /** Throws `decrypt_error` unless both are the same. */
  static compare(expected: Uint8Array, received: Uint8Array): FinishedVerified {
    if (!equalConstantTime(expected, received)) {
      throw new TlsAlertError('decrypt_error', 'Finished: verify_data does not match');
    }
    return new FinishedVerified(received);
  }
}

/**
 * Takes the peer's Finished, which must end its record: what follows is the application's
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246 §7.4.9}).
 */
export function receiveFinished(
  label: FinishedLabel,
  { hash }: CipherSuite,
  masterSecret: Uint8Array,
  transcript: Transcript,
  input: HandshakeInput,
  connection: HandshakeConnection,
): FinishedVerified {
  const message = expectMessage(input, HandshakeType.finished);
  const received = parseFinished(message.body);
  connection.requireFlightEnd('Finished');
  const expected = verifyData(hash, masterSecret, label, transcript.digest());
  const verified = FinishedVerified.compare(expected, received.verifyData);
  transcript.add(message.raw);
  return verified;
}

/** Sends our Finished and returns its `verify_data`. */
export function sendFinished(
  label: FinishedLabel,
  { hash }: CipherSuite,
  masterSecret: Uint8Array,
  transcript: Transcript,
  connection: HandshakeConnection,
): Uint8Array {
  const ours = verifyData(hash, masterSecret, label, transcript.digest());
  connection.send(transcript, HandshakeType.finished, encodeFinished({ verifyData: ours }));
  return ours;
}
