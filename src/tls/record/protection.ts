import type { CipherSuite } from '../cipher-suites.ts';
import type { ContentType } from '../registries.ts';

/** Everything that protects one direction of a TLS 1.2 connection (RFC 5246 §6.2.3.3). */
export interface RecordProtectionParameters {
  readonly cipherSuite: CipherSuite;
  /** Copied or imported; the caller may wipe it afterwards. */
  readonly key: Uint8Array;
  readonly fixedNonce: Uint8Array;
  readonly sequenceNumber: bigint;
  /** `native`: Node's own libcrypto by foreign calls. Absent: native where its self-test passed. */
  readonly provider?: 'native' | 'node';
}

/** Writes protected records. A failure poisons it: every later call throws. */
export interface RecordSealer {
  /** Bytes a record is longer than its plaintext, header included. */
  readonly overhead: number;
  readonly sequenceNumber: bigint;
  /**
   * Writes one whole record (header and body) holding `plaintext` (at most 2^14 bytes) into
   * `target` at `offset`; returns the bytes written.
   */
  seal(type: ContentType, plaintext: Uint8Array, target: Uint8Array, offset: number): number;
  free(): void;
}

/** Reads protected records. A failure poisons it. */
export interface RecordOpener {
  readonly sequenceNumber: bigint;
  /**
   * The plaintext of one whole record (header and body). May decrypt in place: `record` is lost, and
   * the result may be a view of it. Throws `TlsAlertError`; nothing unauthenticated is released.
   */
  open(record: Uint8Array): Uint8Array;
  free(): void;
}
