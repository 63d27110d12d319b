import type { SignAction, VerifyChainAction } from './config.ts';
import type { RecordProtectionParameters } from './record/protection.ts';
import type { HandshakeType } from './registries.ts';
import type { Transcript } from './transcript.ts';

/**
 * What a state may do besides naming the next one. The engine behind it is the same for both roles.
 */
export interface HandshakeConnection {
  /** Number of the next record of each direction; 0 before its ChangeCipherSpec. */
  readonly readSequenceNumber: bigint;
  readonly writeSequenceNumber: bigint;
  /** Adds a message of ours to transcript and flight. */
  send(transcript: Transcript, type: HandshakeType, body: Uint8Array): void;
  /** Sends our ChangeCipherSpec: what we write from now on is protected. */
  protectWriting(protection: RecordProtectionParameters): void;
  /** After the peer's ChangeCipherSpec: what it writes from now on is protected. */
  protectReading(protection: RecordProtectionParameters): void;
  /** The version is agreed: records of any other are refused from now on. */
  fixVersion(): void;
  /**
   * Refuses bytes behind the message just taken. Where a flight ends none may be left, lest
   * something said under the old keys counts under the new ones.
   */
  requireFlightEnd(message: string): void;
  /** Asks the driver; the next input of the state returned is the answer. */
  ask(action: SignAction | VerifyChainAction): void;
  /** Counts a message that moves nothing; too many are refused. */
  ignoreMessage(): void;
  /** Registers secrets, which are overwritten when the handshake fails or is wiped. */
  keep(...secrets: readonly Uint8Array[]): void;
}
